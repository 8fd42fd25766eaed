/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The daemon opens the files, as the caller, who so learns nothing of a file that he may not read;
 * and hands them to a process that has no rights at all. A file is what is at the path now: that
 * process compares its build-id, so that of another one nothing is said.
 */

#include "lib/stack/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/autofd.h"
#include "lib/os/deadline.h"
#include "lib/os/errand.h"
#include "lib/os/escape.h"
#include "lib/os/fd.h"
#include "lib/stack/wire.h"

#define START_MS 5000
#define ANSWER_MS 5000
#define ANSWER_MOST ((gsize)STACK_FRAMES * 2 * SYMBOLS_LINE)
#define DEBUG_FILES "/usr/lib/debug/.build-id"

struct Symbols {
	int fd;
};

/* It says so once it has given up its rights. */
static bool has_begun(int fd)
{
	struct pollfd wait = {fd, POLLIN, 0};
	char byte;

	return poll(&wait, 1, START_MS) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) == 1;
}

Symbols *symbols_new(const char *program, char **ret_why_not)
{
	char *argv[] = {(char *)program, NULL};
	char *environment[] = {NULL};
	posix_spawn_file_actions_t actions;
	int fds[2];
	pid_t pid;

	if (access(program, X_OK) < 0) {
		*ret_why_not = g_strdup_printf("%s: %s", program, g_strerror(errno));
		return NULL;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
		*ret_why_not = g_strdup(g_strerror(errno));
		return NULL;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDIN_FILENO);
	const int error = posix_spawn(&pid, program, &actions, NULL, argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	if (error || !has_begun(fds[0])) {
		close(fds[0]);
		*ret_why_not = g_strdup_printf("%s: %s", program,
					       error ? g_strerror(error) : "it does not begin");
		return NULL;
	}
	Symbols *symbols = g_new0(Symbols, 1);
	symbols->fd = fds[0];
	return symbols;
}

void symbols_free(Symbols *symbols)
{
	/* It ends with this; nobody waits for that. */
	close(symbols->fd);
	g_free(symbols);
}

/* As the caller; a file that is no regular one may do something when it is opened. -1: no. */
static int open_file(const SegfsCaller *caller, pid_t pid, const char *path)
{
	autofd at = deadline_open(pid, path, O_PATH | O_CLOEXEC, caller);
	struct stat st;
	FdPath link;

	if (at < 0 || fstat(at, &st) < 0 || !S_ISREG(st.st_mode))
		return -1;
	fd_path(at, link);
	const int fd =
		deadline_open(pid, link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, caller);
	return fd < 0 ? -1 : fd;
}

/* Those that may be it, or have its symbols. Returns how many. */
static guint open_files(const SegfsCaller *caller, pid_t pid, const SegfsFrame *frame, int *fds)
{
	g_autofree char *debug = g_strdup_printf("%s/%.2s/%s.debug", DEBUG_FILES, frame->build_id,
						 frame->build_id + 2);
	g_autofree char *inside = g_strdup_printf("/proc/%d/root%s", pid, frame->file);
	const struct {
		pid_t pid;
		const char *path;
	} files[] = {{0, frame->file}, {pid, inside}, {0, debug}};
	guint n = 0;

	for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
		if (files[i].path == inside && pid <= 0)
			continue;
		const int fd = open_file(caller, files[i].pid, files[i].path);
		if (fd >= 0)
			fds[n++] = fd;
	}
	return n;
}

static int hand_over(const Symbols *symbols, const struct symbols_question *question,
		     const int *fds, guint n)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE((1 + SYMBOLS_FILES) * sizeof(int))];
	} control = {};
	struct iovec part = {(void *)question, sizeof(*question)};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(header), fds, n * sizeof(int));
	return sendmsg(symbols->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* All that comes in time, of which no more is taken than there may be. */
static GString *read_answer(int fd)
{
	const gint64 until = g_get_monotonic_time() + (gint64)ANSWER_MS * 1000;
	GString *answer = g_string_new(NULL);
	char piece[1024];

	while (answer->len < ANSWER_MOST) {
		const gint64 left = (until - g_get_monotonic_time()) / 1000;
		struct pollfd wait = {fd, POLLIN, 0};
		if (left <= 0 || poll(&wait, 1, (int)left) <= 0)
			break;
		const ssize_t n = read(fd, piece, sizeof(piece));
		if (n <= 0)
			break;
		g_string_append_len(answer, piece, n);
	}
	return answer;
}

/* To be freed. */
static GString *ask(const Symbols *symbols, const struct symbols_question *question,
		    const int *files, guint n)
{
	int fds[1 + SYMBOLS_FILES], answer[2];

	if (pipe2(answer, O_CLOEXEC | O_NONBLOCK) < 0)
		return g_string_new(NULL);
	fds[0] = answer[1];
	memcpy(fds + 1, files, n * sizeof(*files));
	const int r = hand_over(symbols, question, fds, n + 1);
	close(answer[1]);
	GString *text = r < 0 ? g_string_new(NULL) : read_answer(answer[0]);
	close(answer[0]);
	return text;
}

/* What another process has made of a file that somebody has made: text of any kind. */
static char *words_of(const char *line)
{
	g_auto(GStrv) parts = g_strsplit(line, "\t", 2);
	g_autofree char *name = parts[0] ? escape_text(parts[0], -1) : NULL;
	g_autofree char *source = parts[0] && parts[1] ? escape_text(parts[1], -1) : NULL;
	GString *words = g_string_new(NULL);

	if (name && *name)
		g_string_append_printf(words, " %s", name);
	if (source && *source)
		g_string_append_printf(words, " (%s)", source);
	return g_string_free(words, FALSE);
}

static bool parse_id(const char *hex, unsigned char *id)
{
	for (guint i = 0; i < STACK_ID; i++) {
		const int high = g_ascii_xdigit_value(hex[2 * i]);
		const int low = high < 0 ? -1 : g_ascii_xdigit_value(hex[2 * i + 1]);
		if (low < 0)
			return false;
		id[i] = high << 4 | low;
	}
	return true;
}

/* Of all frames in the file that the frame is in, from that one on; lines has a place for each. */
static void name_file(const Symbols *symbols, const SegfsCaller *caller, pid_t pid,
		      const SegfsStack *stack, guint first, char **lines)
{
	const SegfsFrame of = segfs_stack_frame(stack, first);
	struct symbols_question question = {};
	guint which[STACK_FRAMES];
	int files[SYMBOLS_FILES];

	if (!of.file || *of.file != '/' || !of.build_id || !parse_id(of.build_id, question.id))
		return;
	for (guint i = first; i < segfs_stack_n(stack); i++) {
		const SegfsFrame frame = segfs_stack_frame(stack, i);
		if (frame.build_id != of.build_id)
			continue;
		which[question.n] = i;
		question.offsets[question.n++] = frame.offset;
	}
	const guint n_files = open_files(caller, pid, &of, files);
	g_autoptr(GString) answer =
		n_files > 0 ? ask(symbols, &question, files, n_files) : g_string_new(NULL);
	for (guint i = 0; i < n_files; i++)
		close(files[i]);
	g_auto(GStrv) told = g_strsplit(answer->str, "\n", STACK_FRAMES + 1);
	const guint n_told = g_strv_length(told);
	for (guint i = 0; i < question.n; i++)
		lines[which[i]] = i < n_told ? words_of(told[i]) : g_strdup("");
}

char **symbols_of(Symbols *symbols, const SegfsCaller *caller, pid_t pid, const SegfsStack *stack)
{
	const guint n = segfs_stack_n(stack);
	char **lines = g_new0(char *, n + 1);
	const bool may = symbols && errand_may_wait();

	for (guint i = 0; i < n; i++) {
		if (may && !lines[i] && !errand_is_unwanted())
			name_file(symbols, caller, pid, stack, i, lines);
		if (!lines[i])
			lines[i] = g_strdup("");
	}
	return lines;
}
