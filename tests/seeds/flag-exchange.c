/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two processes take turns at one memory, guarded by nothing but a volatile flag: while it is 0 the
 * first may write and the second waits, while it is 1 the other way round. WHERE is a shmid, which
 * is attached, or a path, which is mapped.
 */
#include "seed.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/shm.h>

struct exchange {
	volatile int flag;
	char message[60];
};

static void *attach_or_map(const char *where)
{
	void *memory;

	if (strchr(where, '/'))
		return seed_map(seed_open(where, O_RDWR), sizeof(struct exchange), MAP_SHARED, 0);
	memory = shmat(atoi(where), NULL, 0);
	if (memory == (void *)-1)
		err(EXIT_FAILURE, "shmat");
	return memory;
}

static void wait_for(const struct exchange *exchange, int flag)
{
	while (exchange->flag != flag)
		sched_yield();
	/* Volatile orders the compiler's accesses, not the processor's. */
	atomic_thread_fence(memory_order_acquire);
}

static void hand_over(struct exchange *exchange, int flag)
{
	atomic_thread_fence(memory_order_release);
	exchange->flag = flag;
}

int main(int argc, char **argv)
{
	static const char usage[] = "first|second WHERE TURNS";
	int mine = strcmp(seed_argument(argc, argv, 1, usage), "first") ? 1 : 0;
	struct exchange *exchange = attach_or_map(seed_argument(argc, argv, 2, usage));
	int turns = atoi(seed_argument(argc, argv, 3, usage));
	const char *other = mine ? "first" : "second";
	char expected[sizeof(exchange->message)];

	for (int turn = 0; turn < turns; turn++) {
		wait_for(exchange, mine);
		snprintf(expected, sizeof(expected), "%s, turn %d", other, mine ? turn : turn - 1);
		if ((mine || turn) && strcmp(exchange->message, expected))
			errx(EXIT_FAILURE, "got '%s' for '%s'", exchange->message, expected);
		snprintf(exchange->message, sizeof(exchange->message), "%s, turn %d", argv[1],
			 turn);
		hand_over(exchange, !mine);
	}
	wait_for(exchange, mine);
	printf("%s: %d turns, the last message is: %s\n", argv[1], turns, exchange->message);
	if (!mine)
		hand_over(exchange, 1);
	return EXIT_SUCCESS;
}
