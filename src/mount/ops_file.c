/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The requests that are about an open file. */

#include <errno.h>
#include <linux/fs.h>
#include <poll.h>
#include <string.h>

#include "mount/mount.h"
#include "mount/receive.h"

/*
 * After a write of this size it pays to prepare the memory for the next one while the program
 * makes that: 4.2 GB/s become 4.8 in blocks of 1 MiB, but in blocks of 128 KiB 2.4 become 2.2.
 */
#define LARGE_WRITE (512 * 1024)

/*
 * Tells the kernel how long the text is that this open reads: sendfile(2) and splice(2) end there.
 * Its last byte is stored in the kernel's cache, which the open then empties. That can wait for a
 * read into the cache: only threads that read no text may open one whose length changes.
 */
static int say_length(fuse_req_t req, File *file)
{
	const off_t length = file->ops->length(file);
	struct fuse_bufvec last = FUSE_BUFVEC_INIT(1);
	FileSpan span;

	if (length == 0)
		return 0;
	int r = file->ops->read(file, 1, length - 1, &span);
	if (r < 0)
		return r;
	last.buf[0].mem = (void *)span.bytes;
	/* The kernel, which asks for the open, cannot forget the number meanwhile. */
	r = fuse_lowlevel_notify_store(mount_of(req)->session, file->node->number, length - 1,
				       &last, 0);
	g_clear_pointer(&span.keep, g_bytes_unref);
	return r;
}

/*
 * Tells the kernel how to treat this open: reads and mmap are native where there is passthrough,
 * else all comes through the daemon and nothing is cached, since the memory changes under any
 * cache. Shared mmap is ENODEV then.
 */
static int describe(fuse_req_t req, File *file, struct fuse_file_info *fi)
{
	Passthrough *passthrough = mount_of(req)->passthrough;
	const int fd = file->ops->memory_fd ? file->ops->memory_fd(file) : -1;
	int id = 0;

	if (file->ops->length && file->node->ops->size_changes) {
		int r = say_length(req, file);
		if (r < 0)
			return r;
	}
	if (passthrough && fd >= 0) {
		int r = passthrough_open(passthrough, req, file->node, fd, &id);
		/* A file on a file system that is itself stacked cannot be a backing file. */
		if (r < 0 && r != -ELOOP)
			return r;
	}
	fi->fh = (uintptr_t)file | (id ? HANDLE_PASSED : 0);
	fi->backing_id = id;
	fi->direct_io = id == 0 || file->through_us;
	/*
	 * A write that the kernel does not serialize counts as another way of caching the inode
	 * while it lasts: an open that has a backing id, which this one has not, would be EIO then.
	 */
	fi->parallel_direct_writes = fi->direct_io && id;
	/* A close that has nothing to say saves a request. */
	fi->noflush = file->has_no_flush || (!file->ops->flush && !file->ops->unlock_all);
	return 0;
}

static void close_file(fuse_req_t req, const struct fuse_file_info *fi)
{
	File *file = file_of(fi);

	if (fi->fh & HANDLE_PASSED)
		passthrough_release(mount_of(req)->passthrough, req, file->node);
	file_unref(file);
}

/* Before anything is made or emptied. -EUSERS: the user has all the descriptors that one may have.
 */
static int may_count(fuse_req_t req)
{
	return tree_has_descriptor(mount_of(req)->tree, fuse_req_ctx(req)->uid) ? 0 : -EUSERS;
}

/* What is open is its user's. */
static int count(fuse_req_t req, File *file)
{
	file->uid = fuse_req_ctx(req)->uid;
	file->is_counted = tree_take_descriptor(mount_of(req)->tree, file->uid);
	return file->is_counted ? 0 : -EUSERS;
}

static bool writes(const struct fuse_file_info *fi)
{
	return (fi->flags & O_ACCMODE) != O_RDONLY;
}

/*
 * An open to write, of a node to which a name leads that will not be looked up: a listing has said
 * it a moment ago, or somebody else has opened it since the caller has looked. The caller is to
 * look once more, and finds another; who comes by a descriptor finds the same. See
 * NodeOps.is_apart_to_write.
 */
static bool is_to_look_again(fuse_req_t req, Node *node)
{
	if (!fuse_req_ctx(req)->pid || !node_is_not_apart(node) || !walk_tell(req, node))
		return false;
	node_name_no_more(node);
	return true;
}

/* Answers an open of a node that is known, or of the node made, whose reference it takes. */
static void reply_opened(fuse_req_t req, int r, File *opened, struct fuse_file_info *fi, Node *made)
{
	g_autoptr(File) file = opened;
	g_autoptr(Node) node = made;
	struct fuse_entry_param entry;
	Passthrough *passthrough = mount_of(req)->passthrough;

	if (r == 0)
		r = count(req, file);
	if (r == 0)
		r = describe(req, file, fi);
	if (r < 0) {
		reply_name_result(req, r);
		return;
	}
	if (node && (r = entry_of(req, node, &entry)) < 0) {
		close_file(req, fi);
		file = NULL;
		reply_name_result(req, r);
		return;
	}
	/* See attr_valid(). */
	if (fi->flags & O_TRUNC)
		file->node->emptied = g_get_monotonic_time();
	walk_over(req, file->node);
	file = NULL;
	r = node ? fuse_reply_create(req, &entry, fi) : fuse_reply_open(req, fi);
	if (r != -ENOENT)
		return;
	/* Interrupted: the kernel has not heard of the file and will not release it. */
	if (node)
		node_forget(node, 1);
	if (fi->fh & HANDLE_PASSED)
		passthrough_abandon(passthrough, file_of(fi)->node);
	file_unref(file_of(fi));
}

static void open_now(fuse_req_t req, const Asked *asked)
{
	Node *node = node_of(req, asked->ino);
	struct fuse_file_info *fi = asked->fi;
	g_auto(SegfsCaller) caller = {};
	File *file = NULL;
	int r = caller_at(req, node, &caller);

	if (r == 0 && writes(fi) && is_to_look_again(req, node)) {
		fuse_reply_err(req, ESTALE);
		return;
	}
	if (r == 0)
		r = may_count(req);
	if (r == 0)
		r = !node->ops->open ? -EACCES : node->ops->open(node, &caller, fi->flags, &file);
	if (r < 0) {
		reply_path_result(req, node, r);
		return;
	}
	/* Who opens it is not to go by a size that a listing has said. */
	if (node->ops->still_named && node_is_listed(node))
		fuse_lowlevel_notify_inval_inode(mount_of(req)->session, node->number, -1, 0);
	if (writes(fi))
		file_is_written_by(file, node);
	reply_opened(req, 0, file, fi, NULL);
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	answer(req, fi->flags & O_TRUNC ? NODE_CHANGE : NODE_FIND, open_now,
	       &(Asked){.ino = ino, .fi = fi});
}

static void create_now(fuse_req_t req, const Asked *asked)
{
	Node *directory = node_of(req, asked->ino), *node = NULL;
	const mode_t mode = (mode_t)asked->number;
	g_auto(SegfsCaller) caller = {};
	File *file = NULL;
	int r = caller_at(req, directory, &caller);

	if (r == 0)
		r = may_count(req);
	if (r == 0)
		r = !directory->ops->create
			    ? -EPERM
			    : directory->ops->create(directory, &caller, asked->name,
						     asked->fi->flags, mode, &node, &file);
	if (r == 0 && writes(asked->fi))
		file_is_written_by(file, node);
	reply_opened(req, r, file, asked->fi, node);
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	answer(req, NODE_NAMES, create_now,
	       &(Asked){.ino = parent, .name = name, .number = mode, .fi = fi});
}

static void tmpfile_now(fuse_req_t req, const Asked *asked)
{
	Node *directory = node_of(req, asked->ino), *node = NULL;
	const mode_t mode = (mode_t)asked->number;
	g_auto(SegfsCaller) caller = {};
	File *file = NULL;
	int r = caller_at(req, directory, &caller);

	if (r == 0)
		r = may_count(req);
	if (r == 0)
		r = !directory->ops->make_nameless
			    ? -EOPNOTSUPP
			    : directory->ops->make_nameless(directory, &caller, asked->fi->flags,
							    mode, &node, &file);
	reply_opened(req, r, file, asked->fi, node);
}

void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	answer(req, NODE_NAMES, tmpfile_now, &(Asked){.ino = parent, .number = mode, .fi = fi});
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	close_file(req, fi);
	fuse_reply_err(req, 0);
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	File *file = file_of(fi);
	g_auto(SegfsCaller) caller = {};
	int r = 0;

	if (file->ops->unlock_all)
		file->ops->unlock_all(file, fi->lock_owner);
	if (file->ops->flush && file->through_us) {
		caller_of(req, &caller);
		r = file->ops->flush(file, &caller);
	}
	reply_name_result(req, r);
}

static void read_now(fuse_req_t req, const Asked *asked)
{
	File *file = asked->file;
	FileSpan span = {.fd = -1};
	int r = file->ops->read ? file->ops->read(file, asked->number, asked->offset, &span)
				: -EBADF;

	if (r < 0) {
		reply_name_result(req, r);
	} else if (span.fd < 0 || span.size == 0) {
		fuse_reply_buf(req, span.bytes, span.size);
		g_clear_pointer(&span.keep, g_bytes_unref);
	} else {
		struct fuse_bufvec data = FUSE_BUFVEC_INIT(span.size);
		data.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
		data.buf[0].fd = span.fd;
		data.buf[0].pos = span.offset;
		fuse_reply_data(req, &data, 0);
	}
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	File *file = file_of(fi);

	/* read(2) names an owner of locks; what the kernel reads into its cache is nobody's. */
	if (fi->lock_owner == 0 && file->ops->may_be_cached && !file->ops->may_be_cached(file)) {
		fuse_reply_err(req, EIO);
		return;
	}
	answer(req, NODE_READ, read_now,
	       &(Asked){.ino = ino, .number = size, .offset = offset, .file = file});
}

static void write_now(fuse_req_t req, const Asked *asked)
{
	File *file = asked->file;
	g_auto(SegfsCaller) caller = {};
	ssize_t n = -EBADF;

	caller_of(req, &caller);
	if (file->ops->write)
		n = file->ops->write(file, &caller, asked->data, asked->data_size, asked->offset);
	if (n < 0) {
		reply_name_result(req, n);
		return;
	}
	/* From the answer on the file can be closed at any moment. */
	const bool ahead = n >= LARGE_WRITE && file->node->ops->written;
	g_autoptr(Node) node = ahead ? node_ref(file->node) : NULL;
	fuse_reply_write(req, n);
	if (node)
		node->ops->written(node, asked->offset + n, n);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
	      struct fuse_file_info *fi)
{
	answer(req, NODE_WRITE, write_now,
	       &(Asked){
		       .ino = ino,
		       .data = receive_bytes(bytes),
		       .data_size = size,
		       .offset = offset,
		       .file = file_of(fi),
	       });
}

static void fallocate_now(fuse_req_t req, const Asked *asked)
{
	File *file = asked->file;

	reply_name_result(req, file->ops->allocate
				       ? file->ops->allocate(file, (int)asked->number,
							     asked->offset, asked->length)
				       : -EOPNOTSUPP);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		  struct fuse_file_info *fi)
{
	answer(req, NODE_WRITE, fallocate_now,
	       &(Asked){
		       .ino = ino,
		       .number = (size_t)mode,
		       .offset = offset,
		       .length = length,
		       .file = file_of(fi),
	       });
}

/* What chattr(1) and lsattr(1) say and ask. */
typedef union {
	unsigned int flags;
	struct fsxattr attributes;
} Attributes;

/*
 * The kernel has opened the file to read, as the caller, and asks with as many bytes as the command
 * has. It answers other commands from the size that is encoded in them, of which we know none.
 */
static void ioctl_now(fuse_req_t req, const Asked *asked)
{
	Node *node = node_of(req, asked->ino);
	g_auto(SegfsCaller) caller = {};
	Attributes data = {};
	int r = caller_at(req, node, &caller);

	memcpy(&data, asked->data, asked->data_size);
	if (r == 0)
		r = node->ops->ioctl(node, &caller, (unsigned int)asked->number, &data);
	if (r < 0)
		reply_name_result(req, r);
	else
		fuse_reply_ioctl(req, 0, &data, (size_t)asked->length);
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int command, void *address,
	      struct fuse_file_info *fi, unsigned int flags, const void *in, size_t in_size,
	      size_t out_size)
{
	if (flags & FUSE_IOCTL_UNRESTRICTED || !node_of(req, ino)->ops->ioctl ||
	    in_size > sizeof(Attributes) || out_size > sizeof(Attributes) ||
	    (command != FS_IOC_GETFLAGS && command != FS_IOC_SETFLAGS &&
	     command != FS_IOC_FSGETXATTR && command != FS_IOC_FSSETXATTR)) {
		reply_name_result(req, -ENOTTY);
		return;
	}
	answer(req, NODE_CHANGE, ioctl_now,
	       &(Asked){
		       .ino = ino,
		       .number = command,
		       .data = in_size ? in : "",
		       .data_size = in_size,
		       .length = (off_t)out_size,
	       });
}

/* Who waits in poll(2), as the kernel knows it. */
typedef struct {
	Waiter waiter;
	struct fuse_pollhandle *handle;
} PollWaiter;

static void poll_waiter_free(Waiter *waiter)
{
	fuse_pollhandle_destroy(((PollWaiter *)waiter)->handle);
	g_free(waiter);
}

static void poll_waiter_wake(Waiter *waiter)
{
	fuse_lowlevel_notify_poll(((PollWaiter *)waiter)->handle);
	poll_waiter_free(waiter);
}

void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	     struct fuse_pollhandle *handle)
{
	File *file = file_of(fi);
	PollWaiter *waiter = NULL;

	if (!file->ops->poll) {
		if (handle)
			fuse_pollhandle_destroy(handle);
		fuse_reply_poll(req, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
		return;
	}
	if (handle) {
		waiter = g_new0(PollWaiter, 1);
		*waiter = (PollWaiter){{poll_waiter_wake, poll_waiter_free}, handle};
	}
	fuse_reply_poll(req, file->ops->poll(file, (Waiter *)waiter));
}

static void lseek_now(fuse_req_t req, const Asked *asked)
{
	File *file = asked->file;
	const off_t found = file->ops->seek
				    ? file->ops->seek(file, asked->offset, (int)asked->number)
				    : -EINVAL;

	if (found < 0)
		reply_name_result(req, found);
	else
		fuse_reply_lseek(req, found);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
	answer(req, NODE_WRITE, lseek_now,
	       &(Asked){
		       .ino = ino,
		       .number = (size_t)whence,
		       .offset = offset,
		       .file = file_of(fi),
	       });
}
