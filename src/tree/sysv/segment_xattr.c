/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The extended attributes of a SysV segment: what stat has no room for. One row each; a
 * row that does not know its value is left out of the list.
 */

#include <errno.h>
#include <inttypes.h>
#include <segfs/report.h>
#include <string.h>

#include "tree/item.h"
#include "tree/sysv/segment.h"

#define PREFIX "user.segfs."

typedef struct {
	IpcNs *ns;
	const SegfsCaller *caller;
	SegfsSysv segment;
	bool by_name; /* else for the list */
} Asked;

typedef struct {
	const char *name;                                  /* behind PREFIX */
	bool (*write)(const Asked *asked, GString *value); /* false: not known */
} Attribute;

#define NUMBER(field, type, format)                                                                \
	static bool write_##field(const Asked *asked, GString *value)                              \
	{                                                                                          \
		g_string_append_printf(value, format, (type)asked->segment.field);                 \
		return true;                                                                       \
	}

NUMBER(nattch, uint64_t, "%" PRIu64)
NUMBER(cuid, uint32_t, "%" PRIu32)
NUMBER(cgid, uint32_t, "%" PRIu32)
NUMBER(atime, int64_t, "%" PRId64)
NUMBER(dtime, int64_t, "%" PRId64)
NUMBER(ctime, int64_t, "%" PRId64)
NUMBER(dest, int, "%d")
NUMBER(locked, int, "%d")
NUMBER(key, uint32_t, "0x%08" PRIx32)
NUMBER(cpid, int32_t, "%" PRId32)
NUMBER(lpid, int32_t, "%" PRId32)

static bool write_id(const Asked *asked, GString *value)
{
	g_string_append_printf(value, "%d", asked->segment.shmid);
	return true;
}

static bool write_rss(const Asked *asked, GString *value)
{
	g_string_append_printf(value, "%" PRIu64, asked->segment.rss);
	return asked->segment.has_resident;
}

static bool write_swap(const Asked *asked, GString *value)
{
	g_string_append_printf(value, "%" PRIu64, asked->segment.swap);
	return asked->segment.has_resident;
}

bool segment_is_huge(IpcNs *ns, const SegfsCaller *caller, const SegfsSysv *segment, bool *ret_huge)
{
	g_autoptr(SegfsMemory) memory = NULL;

	if (segment->pages != SEGFS_PAGES_UNKNOWN) {
		*ret_huge = segment->pages == SEGFS_PAGES_HUGE;
		return true;
	}
	if (!caller ? segfs_memory_look(ns->ipc, segment, &memory) < 0
		    : segfs_sysv_may_attach(ns->ipc, caller, segment, false) < 0 ||
			      segfs_memory_open(ns->ipc, caller, segment, false, &memory) < 0)
		return false;
	if (segfs_memory_fd(memory) < 0)
		return false;
	*ret_huge = segfs_memory_is_huge(memory);
	return true;
}

static bool write_hugetlb(const Asked *asked, GString *value)
{
	bool huge;

	/* It may have to be attached for that, which is a trace that others see. */
	if (!segment_is_huge(asked->ns, asked->by_name ? asked->caller : NULL, &asked->segment,
			     &huge))
		return false;
	g_string_append_printf(value, "%d", huge);
	return true;
}

static bool write_creator(const Asked *asked, GString *value)
{
	g_autofree char *command =
		segfs_sysv_creator_shown(asked->ns->ipc, asked->caller, &asked->segment);

	if (!command)
		return false;
	g_string_append(value, command);
	return true;
}

static bool write_creator_command(const Asked *asked, GString *value)
{
	g_auto(SegfsPast) past = {};

	if (!segfs_history_of_sysv(asked->ns->tree->history, asked->ns->ipc, &asked->segment,
				   &past) ||
	    !past.creator.command_line ||
	    !segfs_past_is_visible(segfs_ipc_proc_root(asked->ns->ipc), asked->caller, &past))
		return false;
	g_string_append(value, past.creator.command_line);
	return true;
}

static const Attribute attributes[] = {
	{"id", write_id},           {"key", write_key},
	{"nattch", write_nattch},   {"cpid", write_cpid},
	{"lpid", write_lpid},       {"cuid", write_cuid},
	{"cgid", write_cgid},       {"atime", write_atime},
	{"dtime", write_dtime},     {"ctime", write_ctime},
	{"rss", write_rss},         {"swap", write_swap},
	{"dest", write_dest},       {"locked", write_locked},
	{"creator", write_creator}, {"creator_command", write_creator_command},
	{"hugetlb", write_hugetlb},
};

static int asked_init(Node *node, const SegfsCaller *caller, Asked *ret_asked)
{
	*ret_asked = (Asked){.ns = node->ns, .caller = caller};
	int r = segment_now((SegmentNode *)node, &ret_asked->segment);
	return r == -EBUSY ? -EOPNOTSUPP : r;
}

/* -EOPNOTSUPP for what cannot be a name of ours: `ls` asks once and no more. */
static int find(const char *name, const Attribute **ret_attribute)
{
	if (!g_str_has_prefix(name, "user."))
		return -EOPNOTSUPP;
	for (guint i = 0; i < G_N_ELEMENTS(attributes); i++) {
		if (g_str_has_prefix(name, PREFIX) &&
		    !strcmp(name + strlen(PREFIX), attributes[i].name)) {
			*ret_attribute = &attributes[i];
			return 0;
		}
	}
	return -ENODATA;
}

int segment_get_xattr(Node *node, const SegfsCaller *caller, const char *name, GBytes **ret_value)
{
	const Attribute *attribute = NULL;
	Asked asked;

	int r = item_has_xattr(name) ? 0 : find(name, &attribute);
	if (r == 0)
		r = asked_init(node, caller, &asked);
	if (r < 0)
		return r;
	if (item_has_xattr(name)) {
		g_autoptr(SegfsItem) item = NULL;
		r = segfs_view_sysv(node->ns->view, asked.segment.shmid, segfs_since_now(), &item);
		if (r == 0)
			*ret_value = item_xattr(node->ns, caller, item, name);
		return r;
	}
	GString *value = g_string_new(NULL);
	asked.by_name = true;
	if (!attribute->write(&asked, value)) {
		g_string_free(value, TRUE);
		return -ENODATA;
	}
	*ret_value = g_string_free_to_bytes(value);
	return 0;
}

int segment_list_xattr(Node *node, const SegfsCaller *caller, GBytes **ret_names)
{
	Asked asked;
	int r = asked_init(node, caller, &asked);

	if (r < 0)
		return r;
	GString *names = g_string_new(NULL), *value = g_string_new(NULL);
	for (guint i = 0; i < G_N_ELEMENTS(attributes); i++) {
		if (!attributes[i].write(&asked, value))
			continue;
		g_string_append(names, PREFIX);
		g_string_append_len(names, attributes[i].name, strlen(attributes[i].name) + 1);
	}
	g_string_free(value, TRUE);
	item_list_xattr(names);
	*ret_names = g_string_free_to_bytes(names);
	return 0;
}

int segment_set_xattr(Node *node, const SegfsCaller *caller, const char *name, const void *bytes,
		      size_t size, int flags)
{
	const char *value = bytes;

	if (!g_str_has_prefix(name, "user."))
		return -EOPNOTSUPP;
	if (strcmp(name, PREFIX "locked") != 0 || !value)
		return -EPERM;
	/* A value that a shell's printf or echo made may end in a newline or a zero. */
	if (size > 1 && (value[size - 1] == '\n' || value[size - 1] == '\0'))
		size--;
	if (size != 1 || (value[0] != '0' && value[0] != '1'))
		return -EINVAL;
	SegfsSysv segment;
	int r = segment_alive((SegmentNode *)node, &segment);
	if (r < 0)
		return r == -EBUSY ? -EOPNOTSUPP : r;
	return segfs_sysv_lock(node->ns->ipc, caller, segment.shmid, value[0] == '1');
}
