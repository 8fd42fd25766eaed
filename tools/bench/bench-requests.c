// SPDX-License-Identifier: LGPL-2.1-or-later
/* bench-io requests: how many requests the kernel sends to one FUSE mount while a program runs. */
#include "bench-io.h"

#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* On one processor, whoever makes them: ends with this process, and changes nothing for others. */
static int counter(long long tracepoint, long long device, int processor)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.config = tracepoint,
	};
	char filter[64];

	const int fd = syscall(SYS_perf_event_open, &attr, -1, processor, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		die("perf_event_open");
	snprintf(filter, sizeof(filter), "connection == %lld", device);
	if (ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter) < 0)
		die("PERF_EVENT_IOC_SET_FILTER");
	return fd;
}

int requests(long long tracepoint, long long device, char **argv, bool is_loop)
{
	const long n = sysconf(_SC_NPROCESSORS_CONF);
	int *fds = calloc(n, sizeof(*fds));
	uint64_t all = 0, count;

	if (!fds)
		die("no memory");
	for (long i = 0; i < n; i++)
		fds[i] = counter(tracepoint, device, i);
	const bool has_ended_well =
		is_loop ? measure(argv[1], number(argv[2]), atof(argv[3]), argv[4]) == 0
			: timed_run(argv) >= 0;
	for (long i = 0; i < n; i++) {
		if (read(fds[i], &count, sizeof(count)) != sizeof(count))
			die("read");
		all += count;
	}
	free(fds);
	if (has_ended_well)
		printf("%llu\n", (unsigned long long)all);
	return !has_ended_well;
}
