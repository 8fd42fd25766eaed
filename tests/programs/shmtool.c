// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmtool: the system calls that no shell tool makes, one per command, each
 * answered by one line: a number, a text, or the name of the errno.
 *
 *   shmtool run [-v] [-d DIR] COMMAND...   run the commands; status 1 if one failed
 *   shmtool run [-v] [-d DIR] -            commands from stdin, an answer line for each;
 *                                         says "ready" first. The agents of lib.sh.
 *   shmtool nosysv PROGRAM [ARGS]         PROGRAM where the shm* calls say ENOSYS
 *   shmtool strerror NAME                 EPERM -> Operation not permitted
 *
 * A command is words; \xNN stands for a byte; a word @... means DIR... (-d).
 * Numbers take K, M, G and names joined by |. Descriptors, attaches and mappings
 * live in slots named by one letter.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Of LeakSanitizer, which needs a /proc of its own pid namespace: not all of ours have one. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return 1;
}

#define MAX_WORDS 12
#define OUT_SIZE (1 << 20)

static const struct {
	const char *name;
	long long value;
} names[] = {
#define N(x)                                                                                       \
	{                                                                                          \
#x, x                                                                              \
	}
	N(O_RDONLY),
	N(O_WRONLY),
	N(O_RDWR),
	N(O_CREAT),
	N(O_EXCL),
	N(O_TRUNC),
	N(O_APPEND),
	N(O_NOFOLLOW),
	N(O_DIRECTORY),
	N(O_PATH),
	N(O_TMPFILE),
	N(O_DIRECT),
	N(O_NONBLOCK),
	N(IPC_CREAT),
	N(IPC_EXCL),
	N(IPC_PRIVATE),
	N(SHM_HUGETLB),
	N(SHM_NORESERVE),
	N(SHM_RDONLY),
	N(SHM_EXEC),
	N(PROT_NONE),
	N(PROT_READ),
	N(PROT_WRITE),
	N(MAP_SHARED),
	N(MAP_PRIVATE),
	N(SEEK_SET),
	N(SEEK_CUR),
	N(SEEK_END),
	N(SEEK_DATA),
	N(SEEK_HOLE),
	N(LOCK_SH),
	N(LOCK_EX),
	N(LOCK_NB),
	N(LOCK_UN),
	N(F_RDLCK),
	N(F_WRLCK),
	N(F_UNLCK),
	N(F_SETLK),
	N(F_SETLKW),
	N(F_GETLK),
	N(F_OFD_SETLK),
	N(F_OFD_SETLKW),
	N(F_OFD_GETLK),
	N(FALLOC_FL_KEEP_SIZE),
	N(FALLOC_FL_PUNCH_HOLE),
	N(FALLOC_FL_ZERO_RANGE),
	N(FALLOC_FL_COLLAPSE_RANGE),
	N(RENAME_NOREPLACE),
	N(RENAME_EXCHANGE),
	N(RENAME_WHITEOUT),
	N(S_IFREG),
	N(S_IFIFO),
	N(S_IFSOCK),
	N(S_IFCHR),
	N(S_IFBLK),
	N(R_OK),
	N(W_OK),
	N(X_OK),
	N(F_OK),
	N(XATTR_CREATE),
	N(XATTR_REPLACE),
#undef N
};

/* The thing that a letter stands for: a descriptor, or memory (attached or mapped). */
typedef struct {
	int fd;
	char *mem;
	size_t size;
} Slot;

static Slot slots[128];
static int *many;
static size_t n_many;
static const char *at_dir = "";
static char *out;

static const char *errno_name(int err)
{
	const char *name = strerrorname_np(err);

	return name ? name : "E?";
}

static long long number(const char *word)
{
	long long total = 0;
	char *copy = strdup(word), *save = NULL;

	for (char *part = strtok_r(copy, "|", &save); part; part = strtok_r(NULL, "|", &save)) {
		size_t i;

		for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (strcmp(names[i].name, part) == 0)
				break;
		if (i < sizeof(names) / sizeof(names[0])) {
			total |= names[i].value;
			continue;
		}

		char *end;
		long long value = (long long)strtoull(part[0] == '-' ? part + 1 : part, &end, 0);

		if (*end && strchr("KMGT", *end))
			value <<= 10 * (1 + (strchr("KMGT", *end++) - "KMGT"));
		if (*end || end == part) {
			fprintf(stderr, "shmtool: not a number: %s\n", word);
			exit(2);
		}
		total |= part[0] == '-' ? -value : value;
	}
	free(copy);
	return total;
}

/* Undoes \xNN in place; the length, for what holds a NUL. */
static size_t unescape(char *word)
{
	char *to = word;

	for (char *from = word; *from;) {
		unsigned int byte;

		if (sscanf(from, "\\x%2x", &byte) == 1) {
			*to++ = (char)byte;
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	return (size_t)(to - word);
}

/* Bytes as text: \xNN where not printable, c{n} for n > 4 times the same. */
static void say_bytes(const char *data, size_t len)
{
	size_t used = strlen(out);

	for (size_t i = 0; i < len && used < OUT_SIZE - 32;) {
		size_t run = 1;
		unsigned char c = (unsigned char)data[i];

		while (i + run < len && data[i + run] == data[i])
			run++;
		size_t times = run > 4 ? 1 : run;
		for (size_t t = 0; t < times && used < OUT_SIZE - 32; t++)
			used += (size_t)sprintf(out + used,
						isgraph(c) && c != '\\' ? "%c" : "\\x%02x", c);
		if (run > 4)
			used += (size_t)sprintf(out + used, "{%zu}", run);
		i += run;
	}
}

static Slot *slot(const char *word)
{
	if (!isalpha((unsigned char)word[0]) || word[1]) {
		fprintf(stderr, "shmtool: not a slot: %s\n", word);
		exit(2);
	}
	return &slots[(unsigned char)word[0]];
}

static void say_stat(const struct stat *st, bool times)
{
	sprintf(out, "mode=%o uid=%u gid=%u nlink=%lu size=%lld", st->st_mode, st->st_uid,
		st->st_gid, (unsigned long)st->st_nlink, (long long)st->st_size);
	if (times)
		sprintf(out + strlen(out), " blocks=%lld atime=%lld mtime=%lld ctime=%lld ino=%llu",
			(long long)st->st_blocks, (long long)st->st_atime, (long long)st->st_mtime,
			(long long)st->st_ctime, (unsigned long long)st->st_ino);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static long long list_directory(const char *path)
{
	DIR *dir = opendir(path);
	char *found[4096];
	size_t n = 0;

	if (!dir)
		return -1;
	errno = 0;
	for (struct dirent *entry; n < 4096 && (entry = readdir(dir));)
		found[n++] = strdup(entry->d_name);
	int err = errno;
	closedir(dir);
	qsort(found, n, sizeof(found[0]), by_name);
	for (size_t i = 0; i < n; i++) {
		if (i)
			strcat(out, " ");
		say_bytes(found[i], strlen(found[i]));
		free(found[i]);
	}
	errno = err;
	return err ? -1 : 0;
}

static long long list_xattrs(const char *path)
{
	char list[65536];
	char *found[256];
	size_t n = 0;
	ssize_t len = llistxattr(path, list, sizeof(list));

	if (len < 0)
		return -1;
	for (char *p = list; p < list + len && n < 256; p += strlen(p) + 1)
		found[n++] = p;
	qsort(found, n, sizeof(found[0]), by_name);
	for (size_t i = 0; i < n; i++)
		sprintf(out + strlen(out), "%s%s", i ? " " : "", found[i]);
	return 0;
}

static long long say_ipc_stat(int id)
{
	struct shmid_ds ds;

	if (shmctl(id, IPC_STAT, &ds) < 0)
		return -1;
	sprintf(out,
		"key=0x%08x mode=%o uid=%u gid=%u cuid=%u cgid=%u size=%zu cpid=%d lpid=%d "
		"nattch=%lu "
		"atime=%lld dtime=%lld ctime=%lld",
		(unsigned int)ds.shm_perm.__key, ds.shm_perm.mode, ds.shm_perm.uid, ds.shm_perm.gid,
		ds.shm_perm.cuid, ds.shm_perm.cgid, ds.shm_segsz, ds.shm_cpid, ds.shm_lpid,
		(unsigned long)ds.shm_nattch, (long long)ds.shm_atime, (long long)ds.shm_dtime,
		(long long)ds.shm_ctime);
	return 0;
}

static long long set_ipc(int id, long long uid, long long gid, long long mode)
{
	struct shmid_ds ds;

	if (shmctl(id, IPC_STAT, &ds) < 0)
		return -1;
	ds.shm_perm.uid = (uid_t)uid;
	ds.shm_perm.gid = (gid_t)gid;
	ds.shm_perm.mode = (unsigned short)mode;
	return shmctl(id, IPC_SET, &ds);
}

static long long attach(Slot *s, int id, int flags)
{
	struct shmid_ds ds;
	void *mem = shmat(id, NULL, flags);

	if (mem == (void *)-1)
		return -1;
	s->mem = mem;
	s->size = shmctl(id, IPC_STAT, &ds) == 0 ? ds.shm_segsz : 0;
	return 0;
}

static long long read_some(int fd, size_t len, long long offset)
{
	char *buffer = malloc(len + 1);
	ssize_t n = offset < 0 ? read(fd, buffer, len) : pread(fd, buffer, len, offset);

	if (n >= 0) {
		sprintf(out, "%zd:", n);
		say_bytes(buffer, (size_t)n);
	}
	int err = errno;
	free(buffer);
	errno = err;
	return n < 0 ? -1 : 0;
}

static long long write_fill(int fd, long long offset, size_t len, char byte)
{
	char *buffer = malloc(len + 1);

	memset(buffer, byte, len);
	ssize_t n = offset < 0 ? write(fd, buffer, len) : pwrite(fd, buffer, len, offset);
	int err = errno;
	free(buffer);
	errno = err;
	return n;
}

static long long lock_range(int fd, int cmd, int type, long long start, long long len)
{
	struct flock lock = {
		.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

	if (fcntl(fd, cmd, &lock) < 0)
		return -1;
	if (cmd == F_GETLK || cmd == F_OFD_GETLK)
		sprintf(out, "%s",
			lock.l_type == F_UNLCK   ? "free"
			: lock.l_type == F_RDLCK ? "read"
						 : "write");
	return 0;
}

static long long bind_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	long long result = bind(fd, (struct sockaddr *)&address, sizeof(address));
	int err = errno;
	close(fd);
	errno = err;
	return result;
}

/* A % in the path becomes 0, 1, 2 … */
static long long open_many(const char *path, size_t count, int flags)
{
	const char *mark = strchr(path, '%');
	char name[4096];

	many = realloc(many, (n_many + count) * sizeof(many[0]));
	for (size_t i = 0; i < count; i++) {
		if (mark)
			snprintf(name, sizeof(name), "%.*s%zu%s", (int)(mark - path), path, i,
				 mark + 1);
		int fd = open(mark ? name : path, flags);

		if (fd < 0) {
			sprintf(out, "%zu %s", i, errno_name(errno));
			return 0;
		}
		many[n_many++] = fd;
	}
	sprintf(out, "%zu ok", count);
	return 0;
}

/* PREFIX0 PREFIX1 …; the answer is how many. */
static long long make_files(const char *prefix, size_t count)
{
	char path[4096];

	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s%zu", prefix, i);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);

		if (fd < 0)
			return -1;
		close(fd);
	}
	return (long long)count;
}

static long long make_segments(size_t count, size_t size, int mode)
{
	for (size_t i = 0; i < count; i++)
		if (shmget(IPC_PRIVATE, size, IPC_CREAT | mode) < 0)
			return -1;
	return (long long)count;
}

/* Makes and removes segments, one after the other. */
static long long churn(size_t count, size_t size)
{
	for (size_t i = 0; i < count; i++) {
		int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0666);

		if (id < 0 || shmctl(id, IPC_RMID, NULL) < 0)
			return -1;
	}
	return (long long)count;
}

/* How many pages hold only byte a, only byte b, anything else. */
static void say_pages(const Slot *s, char a, char b)
{
	size_t only_a = 0, only_b = 0, mixed = 0, other = 0;

	for (size_t page = 0; page < s->size; page += 4096) {
		size_t n_a = 0, n_b = 0, end = page + 4096 < s->size ? page + 4096 : s->size;

		for (size_t i = page; i < end; i++) {
			n_a += s->mem[i] == a;
			n_b += s->mem[i] == b;
		}
		if (n_a == end - page)
			only_a++;
		else if (n_b == end - page)
			only_b++;
		else if (n_a + n_b == end - page)
			mixed++;
		else
			other++;
	}
	sprintf(out, "%c=%zu %c=%zu mixed=%zu other=%zu", a, only_a, b, only_b, mixed, other);
}

static long long map_file(Slot *s, int fd, int prot, int flags, size_t size, long long offset)
{
	void *mem = mmap(NULL, size, prot, flags, fd, offset);

	if (mem == MAP_FAILED)
		return -1;
	s->mem = mem;
	s->size = size;
	return 0;
}

static long long set_times(const char *path, int fd, long long when)
{
	struct timespec times[2] = {{.tv_sec = when}, {.tv_sec = when}};

	return path ? utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) : futimens(fd, times);
}

/* The kernel keeps the inode in its cache from here on; no descriptor and no attach says so. */
static long long watch(const char *path)
{
	static int fd = -1;

	if (fd < 0)
		fd = inotify_init1(IN_CLOEXEC);
	return inotify_add_watch(fd, path, IN_DELETE_SELF) < 0 ? -1 : 0;
}

/* One command. Negative: errno says. Else the number, unless out says more. */
static long long run(size_t n, char **w, const size_t *len)
{
	const char *op = w[0];
	struct stat st;
	struct statfs fs;
	char buffer[65536];

#define IS(name, least) (strcmp(op, name) == 0 && n > (least))
#define NUM(i) number(w[i])
#define INT(i) ((int)number(w[i]))
#define SIZE(i) ((size_t)number(w[i]))
#define FD(i) (slot(w[i])->fd)
	/* SysV */
	if (IS("shmget", 3))
		return shmget((key_t)NUM(1), SIZE(2), INT(3));
	if (IS("shmat", 2))
		return attach(slot(w[1]), INT(2), n > 3 ? INT(3) : 0);
	if (IS("shmdt", 1))
		return shmdt(slot(w[1])->mem);
	if (IS("ipcstat", 1))
		return say_ipc_stat(INT(1));
	if (IS("ipcset", 4))
		return set_ipc(INT(1), NUM(2), NUM(3), NUM(4));
	if (IS("rmid", 1))
		return shmctl(INT(1), IPC_RMID, NULL);
	if (IS("shmlock", 1))
		return shmctl(INT(1), SHM_LOCK, NULL);
	if (IS("shmunlock", 1))
		return shmctl(INT(1), SHM_UNLOCK, NULL);
	if (IS("mksegs", 3))
		return make_segments(SIZE(1), SIZE(2), INT(3));
	if (IS("churn", 2))
		return churn(SIZE(1), SIZE(2));
	/* memory */
	if ((IS("peek", 3) || IS("poke", 3)) && !slot(w[1])->mem) {
		errno = EFAULT;
		return -1;
	}
	if (IS("peek", 3)) {
		say_bytes(slot(w[1])->mem + SIZE(2), SIZE(3));
		return 0;
	}
	if (IS("poke", 3)) {
		memcpy(slot(w[1])->mem + SIZE(2), w[3], len[3]);
		return 0;
	}
	if (IS("fill", 2)) {
		memset(slot(w[1])->mem, w[2][0], slot(w[1])->size);
		return 0;
	}
	if (IS("pages", 3)) {
		say_pages(slot(w[1]), w[2][0], w[3][0]);
		return 0;
	}
	if (IS("mmap", 5))
		return map_file(slot(w[1]), FD(2), INT(3), INT(4), SIZE(5), n > 6 ? NUM(6) : 0);
	if (IS("munmap", 1))
		return munmap(slot(w[1])->mem, slot(w[1])->size);
	if (IS("msync", 1))
		return msync(slot(w[1])->mem, slot(w[1])->size, MS_SYNC);
	/* descriptors */
	if (IS("open", 3)) {
		int fd = open(w[2], INT(3), n > 4 ? (mode_t)NUM(4) : 0);

		slot(w[1])->fd = fd;
		return fd < 0 ? -1 : 0;
	}
	if (IS("dup", 2))
		return (slot(w[1])->fd = dup(FD(2))) < 0 ? -1 : 0;
	if (IS("close", 1))
		return close(FD(1));
	if (IS("read", 2))
		return read_some(FD(1), SIZE(2), -1);
	if (IS("pread", 3))
		return read_some(FD(1), SIZE(3), NUM(2));
	if (IS("write", 2))
		return write(FD(1), w[2], len[2]);
	if (IS("pwrite", 3))
		return pwrite(FD(1), w[3], len[3], NUM(2));
	if (IS("pwritefill", 4))
		return write_fill(FD(1), NUM(2), SIZE(3), w[4][0]);
	if (IS("writefill", 3))
		return write_fill(FD(1), -1, SIZE(2), w[3][0]);
	if (IS("ftruncate", 2))
		return ftruncate(FD(1), NUM(2));
	if (IS("fallocate", 4))
		return fallocate(FD(1), INT(2), NUM(3), NUM(4));
	if (IS("lseek", 3))
		return lseek(FD(1), NUM(2), INT(3));
	if (IS("fsync", 1))
		return fsync(FD(1));
	if (IS("fstat", 1) || IS("flook", 1)) {
		if (fstat(FD(1), &st) < 0)
			return -1;
		say_stat(&st, op[1] == 's');
		return 0;
	}
	if (IS("fchmod", 2))
		return fchmod(FD(1), (mode_t)NUM(2));
	if (IS("fchown", 3))
		return fchown(FD(1), (uid_t)NUM(2), (gid_t)NUM(3));
	if (IS("futimens", 2))
		return set_times(NULL, FD(1), NUM(2));
	if (IS("flock", 2))
		return flock(FD(1), INT(2));
	if (IS("fcntl", 5))
		return lock_range(FD(1), INT(2), INT(3), NUM(4), NUM(5));
	if (IS("linkfd", 2)) {
		sprintf(buffer, "/proc/self/fd/%d", FD(1));
		return linkat(AT_FDCWD, buffer, AT_FDCWD, w[2], AT_SYMLINK_FOLLOW);
	}
	if (IS("openmany", 3))
		return open_many(w[1], SIZE(2), INT(3));
	if (IS("closeone", 0))
		return n_many ? close(many[--n_many]) : 0;
	if (IS("closemany", 0)) {
		while (n_many)
			close(many[--n_many]);
		return 0;
	}
	/* names */
	if (IS("stat", 1) || IS("look", 1)) {
		if (lstat(w[1], &st) < 0)
			return -1;
		say_stat(&st, op[0] == 's');
		return 0;
	}
	if (IS("truncate", 2))
		return truncate(w[1], NUM(2));
	if (IS("mkdir", 2))
		return mkdir(w[1], (mode_t)NUM(2));
	if (IS("rmdir", 1))
		return rmdir(w[1]);
	if (IS("unlink", 1))
		return unlink(w[1]);
	if (IS("rename", 2))
		return renameat2(AT_FDCWD, w[1], AT_FDCWD, w[2], n > 3 ? (unsigned int)NUM(3) : 0);
	if (IS("link", 2))
		return link(w[1], w[2]);
	if (IS("symlink", 2))
		return symlink(w[1], w[2]);
	if (IS("readlink", 1)) {
		ssize_t got = readlink(w[1], buffer, sizeof(buffer));

		if (got < 0)
			return -1;
		say_bytes(buffer, (size_t)got);
		return 0;
	}
	if (IS("mknod", 2))
		return mknod(w[1], (mode_t)NUM(2), n > 3 ? (dev_t)NUM(3) : 0);
	if (IS("bind", 1))
		return bind_socket(w[1]);
	if (IS("chmod", 2))
		return chmod(w[1], (mode_t)NUM(2));
	if (IS("chown", 3))
		return lchown(w[1], (uid_t)NUM(2), (gid_t)NUM(3));
	if (IS("utimens", 2))
		return set_times(w[1], -1, NUM(2));
	if (IS("access", 2))
		return faccessat(AT_FDCWD, w[1], INT(2), AT_EACCESS);
	if (IS("setxattr", 3))
		return lsetxattr(w[1], w[2], w[3], len[3], n > 4 ? INT(4) : 0);
	if (IS("getxattr", 2)) {
		ssize_t got = lgetxattr(w[1], w[2], buffer, sizeof(buffer));

		if (got < 0)
			return -1;
		say_bytes(buffer, (size_t)got);
		return 0;
	}
	if (IS("removexattr", 2))
		return lremovexattr(w[1], w[2]);
	if (IS("listxattr", 1))
		return list_xattrs(w[1]);
	if (IS("readdir", 1))
		return list_directory(w[1]);
	if (IS("statfs", 1)) {
		if (statfs(w[1], &fs) < 0)
			return -1;
		sprintf(out, "bytes=%llu free=%llu files=%llu ffree=%llu namelen=%ld",
			(unsigned long long)fs.f_blocks * (unsigned long long)fs.f_bsize,
			(unsigned long long)fs.f_bfree * (unsigned long long)fs.f_bsize,
			(unsigned long long)fs.f_files, (unsigned long long)fs.f_ffree,
			(long)fs.f_namelen);
		return 0;
	}
	if (IS("chdir", 1))
		return chdir(w[1]);
	if (IS("watch", 1))
		return watch(w[1]);
	if (IS("mkfiles", 2))
		return make_files(w[1], SIZE(2));
	/* the process */
	if (IS("umask", 1)) {
		umask((mode_t)NUM(1));
		return 0;
	}
	if (IS("pid", 0))
		return getpid();
	if (IS("quit", 0))
		exit(0);
	fprintf(stderr, "shmtool: unknown command, or words are missing: %s\n", op);
	exit(2);
}

/* Returns whether it went well; prints its answer. */
static bool run_line(const char *line, bool verbose)
{
	char *copy = strdup(line), *save = NULL;
	char *words[MAX_WORDS];
	size_t lens[MAX_WORDS];
	size_t n = 0;

	for (char *word = strtok_r(copy, " \t\n", &save); word && n < MAX_WORDS;
	     word = strtok_r(NULL, " \t\n", &save)) {
		if (word[0] == '@') {
			if (asprintf(&words[n], "%s%s", at_dir, word + 1) < 0)
				abort();
		} else {
			words[n] = strdup(word);
		}
		lens[n] = unescape(words[n]);
		n++;
	}
	if (n == 0) {
		fprintf(stderr, "shmtool: an empty command\n");
		exit(2);
	}

	out[0] = '\0';
	errno = 0;
	long long result = run(n, words, lens);
	int err = errno;

	if (verbose)
		printf("%s -> ", line);
	if (result < 0)
		printf("%s\n", errno_name(err));
	else if (out[0])
		printf("%s\n", out);
	else
		printf("%lld\n", result);
	fflush(stdout);
	for (size_t i = 0; i < n; i++)
		free(words[i]);
	free(copy);
	return result >= 0;
}

static int do_commands(int argc, char **argv)
{
	bool verbose = false, good = true;
	int i = 0;

	out = malloc(OUT_SIZE);
	for (size_t s = 0; s < sizeof(slots) / sizeof(slots[0]); s++)
		slots[s].fd = -1;
	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		if (strcmp(argv[i], "-v") == 0)
			verbose = true;
		else if (strcmp(argv[i], "-d") == 0 && i + 1 < argc)
			at_dir = argv[++i];
	}
	if (i < argc && strcmp(argv[i], "-") == 0) {
		char *line = NULL;
		size_t size = 0;

		printf("ready\n");
		fflush(stdout);
		while (getline(&line, &size, stdin) > 0) {
			line[strcspn(line, "\n")] = '\0';
			good &= run_line(line, verbose);
		}
		free(line);
		return good ? 0 : 1;
	}
	for (; i < argc; i++)
		good &= run_line(argv[i], verbose);
	return good ? 0 : 1;
}

/* The answers of a kernel built without CONFIG_SYSVIPC. */
static int no_sysv(char **argv)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_shmget, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_shmctl, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_shmat, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
		perror("shmtool: seccomp");
		return 2;
	}
	execvp(argv[0], argv);
	perror(argv[0]);
	return 127;
}

int main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "run") == 0)
		return do_commands(argc - 2, argv + 2);
	if (argc > 2 && strcmp(argv[1], "nosysv") == 0)
		return no_sysv(argv + 2);
	if (argc > 2 && strcmp(argv[1], "strerror") == 0) {
		for (int err = 1; err < 200; err++) {
			if (strcmp(errno_name(err), argv[2]) == 0) {
				puts(strerror(err));
				return 0;
			}
		}
	}
	fprintf(stderr, "usage: shmtool run [-v] [-d DIR] COMMAND... | nosysv PROGRAM... | "
			"strerror NAME\n");
	return 2;
}
