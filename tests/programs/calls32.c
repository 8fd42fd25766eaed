/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * calls32: makes, attaches, detaches and removes a segment by the calls of 32-bit programs, and
 * says its shmid. A 64-bit program may make them, by the instruction of old: no other compiler is
 * needed. Where the kernel has none of them: why, to stderr.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <unistd.h>

#ifdef __x86_64__
/* arch/x86/entry/syscalls/syscall_32.tbl */
enum { SHMGET = 395, SHMCTL = 396, SHMAT = 397, SHMDT = 398 };

static long call(long number, long a, long b, long c)
{
	long r;

	/* Kernels before 4.17 cleared the last four. */
	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(number), "b"(a), "c"(b), "d"(c)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)r;
}

static void refused(int number)
{
	static const char why[] = "this kernel takes no calls of 32-bit programs\n";

	if (write(STDERR_FILENO, why, sizeof(why) - 1) < 0)
		_exit(2);
	_exit(1);
}

int main(void)
{
	signal(SIGSEGV, refused);
	const long shmid = call(SHMGET, IPC_PRIVATE, 4096, 0600);
	if (shmid < 0) {
		fprintf(stderr, "no calls of 32-bit programs: %s\n", strerror((int)-shmid));
		return 1;
	}
	/* Addresses are of 32 bits, too: what is no error is one. */
	const unsigned int at = (unsigned int)call(SHMAT, shmid, 0, 0);
	if (at >= -4095U || call(SHMDT, at, 0, 0) != 0 || call(SHMCTL, shmid, IPC_RMID, 0) != 0) {
		fprintf(stderr, "a segment of 32 bits could not be attached\n");
		return 2;
	}
	printf("%ld\n", shmid);
	return 0;
}
#else
int main(void)
{
	fprintf(stderr, "only of x86-64\n");
	return 1;
}
#endif
