/* Uses SIGTRAP for itself, as debuggers' targets and some runtimes do.

   usage: trapping handled|blocked|pending|ignored */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t handled;

static void handle(int number) { handled += number; }

int main(int argc, char **argv)
{
	char line[64];
	sigset_t trap;
	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	signal(SIGTRAP, strcmp(argv[argc - 1], "ignored") ? handle : SIG_IGN);
	if (argv[argc - 1][0] == 'b' || argv[argc - 1][0] == 'p')
		sigprocmask(SIG_BLOCK, &trap, NULL);
	if (argv[argc - 1][0] == 'p')
		kill(getpid(), SIGTRAP);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		printf("%d\n", (int)handled);
		fflush(stdout);
	}
	return 0;
}
