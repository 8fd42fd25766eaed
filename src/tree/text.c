/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Files of text that is made when they are opened, and stays as it was for that open: so it has a
 * length and can be read at any place. What is long is made piece by piece and kept compressed,
 * each piece by itself: segments.json of 100,000 objects has 56 MB, and is kept as a tenth of that.
 * Where making it is cheap, stat tells its length; else, as in /proc, a size of 0, until somebody
 * has it open.
 *
 * read(2) comes to the daemon with the open file, so each reader has a text of its own.
 * sendfile(2), splice(2) and mmap(2) go through the kernel's cache, which is one for all opens of
 * the file, and end where the kernel thinks that the file ends. So the kernel hears the length
 * before the open is answered (FileOps.length), and the cache gets nothing while two opens have
 * different texts, which can be of two users: then those calls fail with EIO, and programs fall
 * back on read(2). A lookup of what is open finds a new node with the same inode number, so that
 * happens only to those who open it by a descriptor, or at the same moment. It lasts until all of
 * them are closed, since the kernel may know the longer text's length until then.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "tree/tree.h"

typedef struct {
	TextNode text;
	TextWrite write;
	TextAnswer answer;
} Text;

/* Up to here text is kept as it is. */
#define PIECE ((gsize)128 * 1024)

typedef struct {
	gsize offset, size;
	GBytes *bytes;
	bool is_packed;
} Piece;

struct TextOut {
	GString *open;  /* the end of the text, less than a piece */
	GArray *pieces; /* Piece, before it; their offsets are set when all are there */
};

typedef struct {
	File file;
	uid_t uid;      /* who has opened it */
	gsize held;     /* of that user's account */
	GArray *pieces; /* Piece */
	GMutex lock;    /* protects what follows */
	guint last;     /* the piece that was unpacked last, as reads follow each other */
	GBytes *last_bytes;
} TextFile;

/*
 * What the kernel reads into its cache by one request at least. An answer that is shorter than
 * asked for tells the kernel where the file ends; of two such answers it may believe the wrong one.
 */
#define ONE_READ (64 * 1024)

static gsize length_of(const GArray *pieces)
{
	if (pieces->len == 0)
		return 0;
	const Piece *last = &g_array_index(pieces, Piece, pieces->len - 1);
	return last->offset + last->size;
}

static bool are_equal(const GArray *a, const GArray *b)
{
	bool equal = a->len == b->len;

	for (guint i = 0; equal && i < a->len; i++) {
		const Piece *x = &g_array_index(a, Piece, i), *y = &g_array_index(b, Piece, i);
		equal = x->size == y->size && g_bytes_equal(x->bytes, y->bytes);
	}
	return equal;
}

off_t text_node_size(Node *base)
{
	TextNode *node = (TextNode *)base;

	g_mutex_lock(&base->ns->tree->lock);
	if (node->opens == 0)
		node->said = 0;
	else if (!node->mixed)
		node->said = (off_t)length_of(node->now);
	const off_t size = node->said;
	g_mutex_unlock(&base->ns->tree->lock);
	return size;
}

bool text_node_is_open(Node *base)
{
	g_mutex_lock(&base->ns->tree->lock);
	const bool is_open = ((TextNode *)base)->opens > 0;
	g_mutex_unlock(&base->ns->tree->lock);
	return is_open;
}

static void text_is_opened(TextNode *node, GArray *pieces)
{
	const off_t size = (off_t)length_of(pieces);
	Tree *tree = node->node.ns->tree;

	g_mutex_lock(&tree->lock);
	if (node->opens++ == 0) {
		node->now = g_array_ref(pieces);
		node->mixed = node->said > size && node->said > ONE_READ;
	} else if (!node->mixed && !are_equal(node->now, pieces)) {
		node->mixed = true;
	}
	node->said = MAX(node->said, size);
	g_mutex_unlock(&tree->lock);
}

static void text_is_closed(TextNode *node)
{
	Tree *tree = node->node.ns->tree;
	GArray *last = NULL;

	g_mutex_lock(&tree->lock);
	if (--node->opens == 0) {
		last = g_steal_pointer(&node->now);
		node->mixed = false;
	}
	g_mutex_unlock(&tree->lock);
	g_clear_pointer(&last, g_array_unref);
}

static int text_getattr(Node *base, bool brief, struct stat *ret_stat)
{
	Text *node = (Text *)base;
	g_autoptr(GString) text = g_string_new(NULL);

	if (node->write)
		node->write(base->ns, text);
	*ret_stat = (struct stat){
		.st_ino = node_static_ino(base),
		.st_mode = S_IFREG | 0444,
		.st_nlink = 1,
		.st_size = node->write ? (off_t)text->len : text_node_size(base),
		.st_uid = geteuid(),
		.st_gid = getegid(),
	};
	ret_stat->st_atime = ret_stat->st_mtime = ret_stat->st_ctime = time(NULL);
	return 0;
}

static int text_access(Node *node, const SegfsCaller *caller, int mask)
{
	return mask & (W_OK | X_OK) ? -EACCES : 0;
}

static void piece_clear(gpointer piece)
{
	g_bytes_unref(((Piece *)piece)->bytes);
}

static GArray *pieces_new(void)
{
	GArray *pieces = g_array_new(FALSE, FALSE, sizeof(Piece));

	g_array_set_clear_func(pieces, piece_clear);
	return pieces;
}

/* Makes one of text, which it empties. What does not shrink, or is short, stays as it is. */
static Piece piece_new(GString *text)
{
	Piece piece = {.size = text->len};
	uLongf packed = compressBound(text->len);
	g_autofree Bytef *bytes = text->len < PIECE ? NULL : g_malloc(packed);

	if (bytes &&
	    compress2(bytes, &packed, (const Bytef *)text->str, text->len, Z_BEST_SPEED) == Z_OK &&
	    packed < text->len) {
		piece.is_packed = true;
		piece.bytes = g_bytes_new(bytes, packed);
	} else {
		piece.bytes = g_bytes_new(text->str, text->len);
	}
	g_string_truncate(text, 0);
	return piece;
}

/* The text of one, with a reference. */
static GBytes *piece_text(const Piece *piece)
{
	uLongf size = piece->size;

	if (!piece->is_packed)
		return g_bytes_ref(piece->bytes);
	g_autofree Bytef *text = g_malloc(size);
	if (uncompress(text, &size, g_bytes_get_data(piece->bytes, NULL),
		       g_bytes_get_size(piece->bytes)) != Z_OK ||
	    size != piece->size)
		return NULL;
	return g_bytes_new_take(g_steal_pointer(&text), size);
}

void text_put(TextOut *out, GString *text)
{
	for (gsize done = 0; done < text->len;) {
		const gsize n = MIN(text->len - done, PIECE - out->open->len);
		g_string_append_len(out->open, text->str + done, n);
		done += n;
		if (out->open->len < PIECE)
			continue;
		const Piece piece = piece_new(out->open);
		g_array_append_val(out->pieces, piece);
	}
	g_string_truncate(text, 0);
}

void text_put_first(TextOut *out, GString *text)
{
	if (text->len == 0)
		return;
	const Piece piece = piece_new(text);
	g_array_prepend_val(out->pieces, piece);
}

/* What lies at offset, from the piece that has it: call with the file's lock held. */
static GBytes *text_at(TextFile *file, gsize offset, gsize *ret_begin)
{
	for (guint i = 0; i < file->pieces->len; i++) {
		const Piece *piece = &g_array_index(file->pieces, Piece, i);
		if (offset >= piece->offset + piece->size)
			continue;
		if (!file->last_bytes || file->last != i) {
			g_clear_pointer(&file->last_bytes, g_bytes_unref);
			file->last_bytes = piece_text(piece);
			file->last = i;
		}
		*ret_begin = piece->offset;
		return file->last_bytes;
	}
	return NULL;
}

static int text_read(File *base, size_t size, off_t offset, FileSpan *ret_span)
{
	TextFile *file = (TextFile *)base;
	const gsize length = length_of(file->pieces);
	gsize begin;
	int r = 0;

	*ret_span = (FileSpan){.fd = -1};
	if (offset < 0 || (gsize)offset >= length)
		return 0;
	size = MIN(size, length - offset);
	g_autofree char *bytes = g_malloc(size);
	g_mutex_lock(&file->lock);
	for (size_t done = 0; done < size && r == 0;) {
		GBytes *text = text_at(file, offset + done, &begin);
		const gsize from = offset + done - begin;
		const gsize n = text ? MIN(g_bytes_get_size(text) - from, size - done) : 0;
		if (!text)
			r = -EIO;
		else
			memcpy(bytes + done, (const char *)g_bytes_get_data(text, NULL) + from, n);
		done += n;
	}
	g_mutex_unlock(&file->lock);
	if (r < 0)
		return r;
	/* Who reads may close it as soon as the answer is there. */
	ret_span->keep = g_bytes_new_take(g_steal_pointer(&bytes), size);
	ret_span->bytes = g_bytes_get_data(ret_span->keep, NULL);
	ret_span->size = size;
	return 0;
}

static void text_file_free(File *base)
{
	TextFile *file = (TextFile *)base;

	text_is_closed((TextNode *)base->node);
	tree_let_go(base->node->ns->tree, file->uid, file->held);
	g_array_unref(file->pieces);
	g_clear_pointer(&file->last_bytes, g_bytes_unref);
	g_mutex_clear(&file->lock);
	if (file->held > PIECE)
		trim_soon();
}

static off_t text_length(File *file)
{
	return (off_t)length_of(((TextFile *)file)->pieces);
}

static bool text_may_be_cached(File *file)
{
	const TextNode *node = (TextNode *)file->node;
	Tree *tree = file->node->ns->tree;

	g_mutex_lock(&tree->lock);
	const bool may = !node->mixed;
	g_mutex_unlock(&tree->lock);
	return may;
}

static const FileOps text_file_ops = {
	.read = text_read,
	.length = text_length,
	.may_be_cached = text_may_be_cached,
	.free = text_file_free,
};

static void out_init(TextOut *out)
{
	*out = (TextOut){g_string_new(NULL), pieces_new()};
}

static void out_clear(TextOut *out)
{
	g_string_free(out->open, TRUE);
	g_clear_pointer(&out->pieces, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TextOut, out_clear)

static int file_new_of(TextNode *node, const SegfsCaller *caller, int flags, TextOut *out,
		       File **ret_file)
{
	gsize offset = 0, held = 0;
	bool any_packed = false;

	if (out->open->len > 0) {
		const Piece piece = piece_new(out->open);
		g_array_append_val(out->pieces, piece);
	}
	for (guint i = 0; i < out->pieces->len; i++) {
		Piece *piece = &g_array_index(out->pieces, Piece, i);
		piece->offset = offset;
		offset += piece->size;
		held += g_bytes_get_size(piece->bytes);
		any_packed = any_packed || piece->is_packed;
	}
	held += any_packed ? PIECE : 0;
	if (!tree_hold(node->node.ns->tree, caller->uid, held))
		return -ENOMEM;
	TextFile *file = file_new(&node->node, &text_file_ops, sizeof(TextFile), flags);
	file->uid = caller->uid;
	file->held = held;
	file->pieces = g_steal_pointer(&out->pieces);
	g_mutex_init(&file->lock);
	text_is_opened(node, file->pieces);
	*ret_file = &file->file;
	return 0;
}

int text_file_new(TextNode *node, const SegfsCaller *caller, int flags, GString *text,
		  File **ret_file)
{
	g_auto(TextOut) out;

	out_init(&out);
	text_put(&out, text);
	g_string_free(text, TRUE);
	return file_new_of(node, caller, flags, &out, ret_file);
}

static int text_open(Node *base, const SegfsCaller *caller, int flags, File **ret_file)
{
	Text *node = (Text *)base;
	int r = 0;

	if ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC)
		return -EACCES;
	g_auto(TextOut) out;
	out_init(&out);
	if (node->write)
		node->write(base->ns, out.open);
	else
		r = node->answer(base->ns, caller, &out);
	if (node->answer)
		trim_soon();
	return r < 0 ? r : file_new_of(&node->text, caller, flags, &out, ret_file);
}

static const NodeOps text_ops = {
	.getattr = text_getattr,
	.access = text_access,
	.open = text_open,
};

static Node *text_twin(Node *base);

static const NodeOps text_expensive_ops = {
	.find = text_twin,
	.waits = NODE_EXPENSIVE,
	.size_changes = true,
	.getattr = text_getattr,
	.access = text_access,
	.open = text_open,
};

Node *text_new(IpcNs *ns, TextWrite write)
{
	Text *text = node_new_static(ns, &text_ops, sizeof(Text));

	text->write = write;
	return &text->text.node;
}

Node *text_new_expensive(IpcNs *ns, TextAnswer answer)
{
	Text *text = node_new_static(ns, &text_expensive_ops, sizeof(Text));

	text->answer = answer;
	return &text->text.node;
}

static Node *text_twin(Node *base)
{
	if (!text_node_is_open(base))
		return node_ref(base);
	Text *twin = node_new(base->ns, base->ops, sizeof(Text));
	twin->text.node.key = base->key;
	twin->answer = ((Text *)base)->answer;
	return &twin->text.node;
}
