// SPDX-License-Identifier: LGPL-2.1-or-later
/* The descriptors and memory that the daemon holds, as /proc shows them. */
#include "churn.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static void look_at_descriptors(pid_t pid, struct held *held, bool explain)
{
	char path[64], name[320], target[512];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *dir = opendir(path);
	struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		const ssize_t n = readlink(name, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		if (explain)
			printf("# descriptor %s of the daemon: %s\n", entry->d_name, target);
		/* One memfd is kept for good from the first open that needs it. */
		if (!strcmp(target, "/memfd:segfs (deleted)"))
			continue;
		if (!strncmp(target, "pipe:", 5) || !strcmp(target, "/dev/fuse"))
			held->pipes++;
		else
			held->descriptors++;
	}
	if (dir)
		closedir(dir);
}

static void look_at_maps(pid_t pid, struct held *held, bool explain)
{
	char path[64], line[512];

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (!strstr(line, "/SYSV"))
			continue;
		held->attaches++;
		if (explain)
			printf("# mapping of the daemon: %s", line);
	}
	if (file)
		fclose(file);
}

static void look_at_status(pid_t pid, struct held *held)
{
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		sscanf(line, "VmRSS: %ld", &held->rss_kib);
		sscanf(line, "Threads: %d", &held->threads);
	}
	if (file)
		fclose(file);
}

void daemon_look(pid_t pid, struct held *ret_held)
{
	struct statvfs st;

	*ret_held = (struct held){};
	look_at_descriptors(pid, ret_held, false);
	look_at_maps(pid, ret_held, false);
	look_at_status(pid, ret_held);
	if (statvfs("/dev/shm", &st) == 0)
		ret_held->shm_blocks = st.f_blocks - st.f_bfree;
}

void daemon_explain(pid_t pid)
{
	struct held held = {};

	look_at_descriptors(pid, &held, true);
	look_at_maps(pid, &held, true);
}
