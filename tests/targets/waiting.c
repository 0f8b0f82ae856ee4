/* Waits in every call that a stop may cut short, each on a thread of its own, and counts what came of it.

   usage: waiting [MILLISECONDS]    waits without end, or for so long, again and again

   Answers each line on its standard input with one line: for each call its name, how often it returned EINTR,
   how often it was done, and by how many milliseconds it was at worst done too late and too early. */
#include "knowing/waiters.h"

int main(int argc, char **argv)
{
	char line[64];

	if (argc > 1)
		timeout_ms = atol(argv[1]);
	start_waiting();
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		for (int at = 0; at < WAITERS; at++)
			printf("%s %ld %ld %ld %ld;", waiters[at].name, waiters[at].eintr, waiters[at].done,
			       waiters[at].late_ms, waiters[at].early_ms);
		puts("");
		fflush(stdout);
	}
	return 0;
}
