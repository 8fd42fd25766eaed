/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A user stack, as it is remembered: many frames are in few files. */

#include "lib/stack/stack.h"

#include <inttypes.h>
#include <string.h>

#include "lib/os/escape.h"

typedef struct {
	guint module; /* of the stack's; others: it is in none */
	uint64_t offset;
} Frame;

typedef struct {
	char *path, *build_id; /* NULL: not known */
} Module;

struct SegfsStack {
	gatomicrefcount refs;
	bool is_dumpable;
	GArray *frames;  /* Frame */
	GArray *modules; /* Module */
};

static void module_clear(gpointer data)
{
	Module *module = data;

	g_free(module->path);
	g_free(module->build_id);
}

static SegfsStack *stack_empty(void)
{
	SegfsStack *stack = g_new0(SegfsStack, 1);

	g_atomic_ref_count_init(&stack->refs);
	stack->frames = g_array_new(FALSE, FALSE, sizeof(Frame));
	stack->modules = g_array_new(FALSE, FALSE, sizeof(Module));
	g_array_set_clear_func(stack->modules, module_clear);
	return stack;
}

SegfsStack *segfs_stack_ref(SegfsStack *stack)
{
	if (stack)
		g_atomic_ref_count_inc(&stack->refs);
	return stack;
}

void segfs_stack_unref(SegfsStack *stack)
{
	if (!g_atomic_ref_count_dec(&stack->refs))
		return;
	g_array_unref(stack->frames);
	g_array_unref(stack->modules);
	g_free(stack);
}

/* Its parts are the last first. */
static char *path_of(const struct stack_module *told)
{
	const char *end = told->path + MIN(told->path_size, sizeof(told->path));
	GString *path = g_string_new(NULL);

	for (const char *at = told->path; at < end; at += strnlen(at, end - at) + 1) {
		if (path->len > 0)
			g_string_prepend_c(path, '/');
		g_string_prepend_len(path, at, strnlen(at, end - at));
	}
	if (path->len > 0 && told->is_whole)
		g_string_prepend_c(path, '/');
	return g_string_free(path, path->len == 0);
}

static char *hex_of(const unsigned char *bytes, gsize n)
{
	GString *hex = g_string_new(NULL);

	for (gsize i = 0; i < n; i++)
		g_string_append_printf(hex, "%02x", bytes[i]);
	return g_string_free(hex, FALSE);
}

SegfsStack *stack_new(const struct stack *told)
{
	/* Nothing is mapped where its code is. */
	if (told->n == 0 || told->n_modules == 0)
		return NULL;
	SegfsStack *stack = stack_empty();

	stack->is_dumpable = told->is_dumpable;
	for (guint i = 0; i < MIN(told->n, STACK_FRAMES); i++) {
		const Frame frame = {told->frames[i].module, told->frames[i].offset};
		g_array_append_val(stack->frames, frame);
	}
	for (guint i = 0; i < MIN(told->n_modules, STACK_MODULES); i++) {
		const struct stack_module *one = &told->modules[i];
		const Module module = {
			.path = path_of(one),
			.build_id = one->has_id ? hex_of(one->id, sizeof(one->id)) : NULL,
		};
		g_array_append_val(stack->modules, module);
	}
	return stack;
}

gsize stack_size(const SegfsStack *stack)
{
	gsize size = 0;

	if (!stack)
		return 0;
	for (guint i = 0; i < stack->modules->len; i++) {
		const Module *module = &g_array_index(stack->modules, Module, i);
		size += sizeof(*module) + (module->path ? strlen(module->path) + 1 : 0) +
			(module->build_id ? strlen(module->build_id) + 1 : 0);
	}
	return size + sizeof(*stack) + stack->frames->len * sizeof(Frame);
}

bool segfs_stack_is_dumpable(const SegfsStack *stack)
{
	return stack->is_dumpable;
}

guint segfs_stack_n(const SegfsStack *stack)
{
	return stack->frames->len;
}

SegfsFrame segfs_stack_frame(const SegfsStack *stack, guint i)
{
	const Frame *frame = &g_array_index(stack->frames, Frame, i);
	const Module *module = frame->module < stack->modules->len
				       ? &g_array_index(stack->modules, Module, frame->module)
				       : &(Module){};

	return (SegfsFrame){module->path, module->build_id, frame->offset};
}

char *segfs_frame_text(const SegfsFrame *frame)
{
	if (!frame->file)
		return g_strdup_printf("0x%" PRIx64, frame->offset);
	const char *slash = strrchr(frame->file, '/');
	g_autofree char *name = escape_item(slash ? slash + 1 : frame->file);
	return g_strdup_printf("%s+0x%" PRIx64, name, frame->offset);
}

GVariant *stack_save(const SegfsStack *stack)
{
	GVariantBuilder frames, modules;

	g_variant_builder_init(&frames, G_VARIANT_TYPE("a(ut)"));
	g_variant_builder_init(&modules, G_VARIANT_TYPE("a(ayay)"));
	for (guint i = 0; stack && i < stack->frames->len; i++) {
		const Frame *frame = &g_array_index(stack->frames, Frame, i);
		g_variant_builder_add(&frames, "(ut)", frame->module, frame->offset);
	}
	for (guint i = 0; stack && i < stack->modules->len; i++) {
		const Module *module = &g_array_index(stack->modules, Module, i);
		g_variant_builder_add(&modules, "(^ay^ay)", module->path ? module->path : "",
				      module->build_id ? module->build_id : "");
	}
	return g_variant_new("(ba(ut)a(ayay))", stack && stack->is_dumpable, &frames, &modules);
}

/* Is it one, as hex_of() writes it? */
static bool is_build_id(const char *text)
{
	return strlen(text) == 2 * STACK_ID && strspn(text, "0123456789abcdef") == 2 * STACK_ID;
}

SegfsStack *stack_restore(GVariant *saved)
{
	g_autoptr(GVariant) frames = g_variant_get_child_value(saved, 1);
	g_autoptr(GVariant) modules = g_variant_get_child_value(saved, 2);
	const gsize n = MIN(g_variant_n_children(frames), STACK_FRAMES);
	gboolean is_dumpable;

	if (n == 0)
		return NULL;
	SegfsStack *stack = stack_empty();
	g_variant_get_child(saved, 0, "b", &is_dumpable);
	stack->is_dumpable = is_dumpable;
	for (gsize i = 0; i < n; i++) {
		guint32 module;
		Frame frame;
		g_variant_get_child(frames, i, "(ut)", &module, &frame.offset);
		frame.module = module;
		g_array_append_val(stack->frames, frame);
	}
	for (gsize i = 0; i < MIN(g_variant_n_children(modules), STACK_MODULES); i++) {
		const char *path, *build_id;
		g_autoptr(GVariant) one = g_variant_get_child_value(modules, i);
		g_variant_get(one, "(^&ay^&ay)", &path, &build_id);
		const Module module = {
			.path = *path ? g_strdup(path) : NULL,
			.build_id = is_build_id(build_id) ? g_strdup(build_id) : NULL,
		};
		g_array_append_val(stack->modules, module);
	}
	return stack;
}
