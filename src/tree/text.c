/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Files of text. The text is made at each open and stays the same for that open. Where making it is
 * cheap, stat shows its length; else, as in /proc, a size of 0.
 */

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "tree/tree.h"

typedef struct {
	Node node;
	TextWrite write;
	TextAnswer answer;
} Text;

typedef struct {
	File file;
	uid_t uid; /* of the caller that has opened it */
	GBytes *text;
} TextFile;

/*
 * The bytes of text that all open files of one user may hold together. They are memory of the
 * daemon, which no limit of the user's binds. A user's first file can be of any length; root has no
 * bound.
 */
#define TEXT_MOST (64 * 1024 * 1024)

static int text_getattr(Node *base, bool brief, struct stat *ret_stat)
{
	Text *node = (Text *)base;
	GString *text = g_string_new(NULL);

	if (node->write)
		node->write(base->ns, text);
	*ret_stat = (struct stat){
		.st_ino = node_static_ino(base),
		.st_mode = S_IFREG | 0444,
		.st_nlink = 1,
		.st_size = text->len,
		.st_uid = geteuid(),
		.st_gid = getegid(),
	};
	ret_stat->st_atime = ret_stat->st_mtime = ret_stat->st_ctime = time(NULL);
	g_string_free(text, TRUE);
	return 0;
}

static int text_access(Node *node, const SegfsCaller *caller, int mask)
{
	return mask & (W_OK | X_OK) ? -EACCES : 0;
}

static int text_read(File *file, size_t size, off_t offset, FileSpan *ret_span)
{
	GBytes *text = ((TextFile *)file)->text;
	gsize length;
	const char *bytes = g_bytes_get_data(text, &length);

	*ret_span = (FileSpan){.fd = -1};
	if (offset >= 0 && (gsize)offset < length) {
		ret_span->bytes = bytes + offset;
		ret_span->size = MIN(size, length - offset);
		/* The reader may close the file as soon as the kernel has the answer. */
		ret_span->keep = g_bytes_ref(text);
	}
	return 0;
}

static bool take_bytes(Tree *tree, uid_t uid, gsize size)
{
	const gpointer key = GUINT_TO_POINTER(uid);

	g_mutex_lock(&tree->lock);
	const gsize held = GPOINTER_TO_SIZE(g_hash_table_lookup(tree->texts, key));
	const bool fits = uid == 0 || held == 0 || size + held <= TEXT_MOST;
	if (fits)
		g_hash_table_insert(tree->texts, key, GSIZE_TO_POINTER(held + size));
	g_mutex_unlock(&tree->lock);
	return fits;
}

static void give_bytes_back(Tree *tree, uid_t uid, gsize size)
{
	const gpointer key = GUINT_TO_POINTER(uid);

	g_mutex_lock(&tree->lock);
	const gsize held = GPOINTER_TO_SIZE(g_hash_table_lookup(tree->texts, key)) - size;
	if (held > 0)
		g_hash_table_insert(tree->texts, key, GSIZE_TO_POINTER(held));
	else
		g_hash_table_remove(tree->texts, key);
	g_mutex_unlock(&tree->lock);
}

static void text_file_free(File *base)
{
	TextFile *file = (TextFile *)base;

	give_bytes_back(base->node->ns->tree, file->uid, g_bytes_get_size(file->text));
	g_bytes_unref(file->text);
}

static const FileOps text_file_ops = {.read = text_read, .free = text_file_free};

int text_file_new(Node *node, const SegfsCaller *caller, int flags, GString *text, File **ret_file)
{
	const gsize size = text->len;

	if (!take_bytes(node->ns->tree, caller->uid, size)) {
		g_string_free(text, TRUE);
		return -ENOMEM;
	}
	TextFile *file = file_new(node, &text_file_ops, sizeof(TextFile), flags);
	file->uid = caller->uid;
	/* The buffer has grown by doubling. */
	file->text = g_bytes_new_take(g_realloc(g_string_free(text, FALSE), MAX(size, 1)), size);
	*ret_file = &file->file;
	return 0;
}

static int text_open(Node *base, const SegfsCaller *caller, int flags, File **ret_file)
{
	Text *node = (Text *)base;
	int r = 0;

	if ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC)
		return -EACCES;
	GString *text = g_string_new(NULL);
	if (node->write)
		node->write(base->ns, text);
	else
		r = node->answer(base->ns, caller, text);
	if (node->answer)
		node_trim_memory();
	if (r == 0)
		return text_file_new(base, caller, flags, text, ret_file);
	g_string_free(text, TRUE);
	return r;
}

static const NodeOps text_ops = {
	.getattr = text_getattr,
	.access = text_access,
	.open = text_open,
};

static const NodeOps text_expensive_ops = {
	.is_expensive = true,
	.getattr = text_getattr,
	.access = text_access,
	.open = text_open,
};

Node *text_new(IpcNs *ns, TextWrite write)
{
	Text *text = node_new_static(ns, &text_ops, sizeof(Text));

	text->write = write;
	return &text->node;
}

Node *text_new_expensive(IpcNs *ns, TextAnswer answer)
{
	Text *text = node_new_static(ns, &text_expensive_ops, sizeof(Text));

	text->answer = answer;
	return &text->node;
}
