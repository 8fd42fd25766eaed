// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What whoever makes a name waits for once it is told to anybody: the events that history asks for,
 * and a reader that does nothing with them.
 */
#include "bench-io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

/* Milliseconds between two looks at the queue, as history's. */
#define REST 5

/* Each has a descriptor of its process. */
static void close_pidfd(const char *at, const char *end)
{
	const struct fanotify_event_info_pidfd *info;

	for (; (size_t)(end - at) >= sizeof(info->hdr); at += info->hdr.len) {
		info = (const void *)at;
		if (info->hdr.len < sizeof(info->hdr))
			return;
		if (info->hdr.info_type == FAN_EVENT_INFO_TYPE_PIDFD && info->pidfd >= 0)
			close(info->pidfd);
	}
}

/* All that waits; false: some was lost, so not all of it was paid for. */
static bool read_all(int fd)
{
	_Alignas(struct fanotify_event_metadata) char buffer[16384];
	bool is_whole = true;
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		struct fanotify_event_metadata event;
		for (const char *at = buffer; at < buffer + n; at += event.event_len) {
			memcpy(&event, at, sizeof(event));
			close_pidfd(at + event.metadata_len, at + event.event_len);
			is_whole = is_whole && !(event.mask & FAN_Q_OVERFLOW);
		}
	}
	if (n < 0 && errno != EAGAIN)
		die("fanotify");
	return is_whole;
}

int watch(const char *directory)
{
	const int fd =
		fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME |
				      FAN_REPORT_FID | FAN_REPORT_TARGET_FID | FAN_REPORT_PIDFD,
			      O_RDONLY | O_CLOEXEC);
	struct pollfd in = {STDIN_FILENO, POLLIN, 0};

	if (fd < 0 || fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM,
				    FAN_CREATE | FAN_DELETE | FAN_RENAME, AT_FDCWD, directory) < 0)
		die("fanotify");
	puts("ready");
	fflush(stdout);
	while (poll(&in, 1, REST) == 0)
		if (!read_all(fd))
			fputs("bench-io: events were lost\n", stderr);
	return 0;
}
