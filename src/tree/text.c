/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files of text that is made when they are opened, and stays as it was for that open. */

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "tree/tree.h"

typedef struct {
	Node node;
	TextWrite write;
} Text;

typedef struct {
	File file;
	GString *text;
} TextFile;

static GString *text_make(Node *node)
{
	GString *text = g_string_new(NULL);

	((Text *)node)->write(node->space, text);
	return text;
}

static int text_getattr(Node *node, bool brief, struct stat *ret_stat)
{
	GString *text = text_make(node);

	*ret_stat = (struct stat){
		.st_ino = node_static_ino(node),
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
	const GString *text = ((TextFile *)file)->text;

	*ret_span = (FileSpan){.fd = -1};
	if (offset >= 0 && (size_t)offset < text->len) {
		ret_span->bytes = text->str + offset;
		ret_span->size = MIN(size, text->len - offset);
	}
	return 0;
}

static void text_file_free(File *file)
{
	g_string_free(((TextFile *)file)->text, TRUE);
}

static const FileOps text_file_ops = {.read = text_read, .free = text_file_free};

static int text_open(Node *node, const SegfsCaller *caller, int flags, File **ret_file)
{
	if ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC)
		return -EACCES;
	TextFile *file = file_new(node, &text_file_ops, sizeof(TextFile), flags);
	file->text = text_make(node);
	*ret_file = &file->file;
	return 0;
}

static const NodeOps text_ops = {
	.getattr = text_getattr,
	.access = text_access,
	.open = text_open,
};

Node *text_new(Space *space, TextWrite write)
{
	Text *text = node_new_static(space, &text_ops, sizeof(Text));

	text->write = write;
	return &text->node;
}
