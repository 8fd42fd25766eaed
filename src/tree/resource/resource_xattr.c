/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The extended attributes of a set or queue: what stat has no room for, a row each. */

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "tree/resource/resource.h"

#define PREFIX "user.segfs."

typedef struct {
	const char *name; /* behind PREFIX */
	bool of[SEGFS_N_RESOURCE_KINDS];
	void (*write)(const SegfsResource *resource, GString *value);
} Attribute;

#define NUMBER(field)                                                                              \
	static void write_##field(const SegfsResource *resource, GString *value)                   \
	{                                                                                          \
		g_string_append_printf(value, "%" PRId64, (int64_t)resource->field);               \
	}

NUMBER(id)
NUMBER(cuid)
NUMBER(cgid)
NUMBER(ctime)
NUMBER(otime)
NUMBER(sems)
NUMBER(stime)
NUMBER(rtime)
NUMBER(lspid)
NUMBER(lrpid)
NUMBER(messages)
NUMBER(bytes)
NUMBER(most_bytes)

static void write_key(const SegfsResource *resource, GString *value)
{
	g_string_append_printf(value, "0x%08x", (unsigned int)resource->key);
}

/* Named as in struct semid_ds and msqid_ds: semctl(2), msgctl(2). */
static const Attribute attributes[] = {
	{"id", {true, true}, write_id},         {"key", {true, true}, write_key},
	{"cuid", {true, true}, write_cuid},     {"cgid", {true, true}, write_cgid},
	{"ctime", {true, true}, write_ctime},   {"otime", {true, false}, write_otime},
	{"nsems", {true, false}, write_sems},   {"stime", {false, true}, write_stime},
	{"rtime", {false, true}, write_rtime},  {"lspid", {false, true}, write_lspid},
	{"lrpid", {false, true}, write_lrpid},  {"qnum", {false, true}, write_messages},
	{"cbytes", {false, true}, write_bytes}, {"qbytes", {false, true}, write_most_bytes},
};

int resource_xattr(const SegfsResource *resource, const char *name, GBytes **ret_value)
{
	for (guint i = 0; i < G_N_ELEMENTS(attributes); i++) {
		if (!attributes[i].of[resource->kind] || !g_str_has_prefix(name, PREFIX) ||
		    strcmp(name + strlen(PREFIX), attributes[i].name) != 0)
			continue;
		GString *value = g_string_new(NULL);
		attributes[i].write(resource, value);
		*ret_value = g_string_free_to_bytes(value);
		return 0;
	}
	return -ENODATA;
}

GBytes *resource_xattr_names(SegfsResourceKind kind)
{
	GString *names = g_string_new(NULL);

	for (guint i = 0; i < G_N_ELEMENTS(attributes); i++) {
		if (!attributes[i].of[kind])
			continue;
		g_string_append(names, PREFIX);
		g_string_append_len(names, attributes[i].name, strlen(attributes[i].name) + 1);
	}
	return g_string_free_to_bytes(names);
}
