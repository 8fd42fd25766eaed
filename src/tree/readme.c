/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file README at the top of the mount. */

#include "tree/tree.h"

static void readme_write(IpcNs *ns, GString *text)
{
	g_string_append(
		text,
		"The shared memory of this host, as files (segfs).\n"
		"\n"
		"sysv/ID       a SysV segment by its id, its bytes; rm removes it (IPC_RMID)\n"
		"key/0x1234    the same by its key, decimal too; truncate -s, cp, tar -x make one\n"
		"posix/NAME    a POSIX object, what /dev/shm holds\n"
		"sem/ID, msg/ID  semaphore sets, message queues: what is in them; rm removes it\n"
		"orphans/      what nobody uses any more; rm here never removes what is in use\n"
		"unlinked/     memory without a name that is still held: dest, deleted, memfd, "
		"anon\n"
		"info/         for each of these files, all that is known: who holds it, verdict\n"
		"segments.json, metrics: the same for scripts and for monitoring\n"
		"events        who left, made, renamed, removed what, a line each; events.1: "
		"before\n"
		"gone/         what was removed lately, by whom\n"
		"limits        how many there can be and are, and where the host's Shmem is\n");
	if (ns->tree->no_ns)
		g_string_append_printf(text, "No ns/, other IPC namespaces: %s\n", ns->tree->no_ns);
	else
		g_string_append(text,
				"ns/NUMBER/    these directories of every other IPC namespace; "
				"for root\n");
	g_string_append(
		text,
		"\n"
		"links = attaches + 1, so `find sysv -links 1` finds the unattached; size is the\n"
		"segment's, blocks are what is resident; access is what shmat(2) would allow you.\n"
		"Never grows by writing: `cp image sysv/ID` restores, `cat sysv/ID` saves.\n");
}

Node *readme_new(IpcNs *ns, const void *data)
{
	return text_new(ns, readme_write);
}
