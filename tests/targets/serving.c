/* Twenty threads that wait as those of a server do, its first one too, and count how often that ends with EINTR.

   usage: serving [MILLISECONDS]    waits without end, or for so long, again and again

   Answers each line on its standard input with one number: how many EINTRs there were, of all threads. */
#include "knowing/waiters.h"

static const struct {
	int (*wait)(void);
	int threads;
} serving[] = {{in_epoll_wait, 8}, {in_recv, 4}, {in_accept, 2}, {in_futex, 4}, {in_poll, 2}};

static volatile long interrupted;

static void *serve(void *argument)
{
	for (;;)
		if (serving[(long)argument].wait() == EINTR)
			__atomic_add_fetch(&interrupted, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *answer(void *unused)
{
	char line[64];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		printf("%ld\n", interrupted);
		fflush(stdout);
	}
	exit(0);
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc > 1)
		timeout_ms = atol(argv[1]);
	for (size_t kind = 0; kind < sizeof serving / sizeof *serving; kind++)
		for (int at = kind == 0; at < serving[kind].threads; at++)
			pthread_create(&thread, NULL, serve, (void *)kind);
	usleep(100000);
	pthread_create(&thread, NULL, answer, NULL);
	serve((void *)0);
}
