/*
 * A test program of the kind that zdtm runs: it goes into the background as the leader of a session, says its
 * pid, works until SIGTERM, and leaves PASS or FAIL in its output. What it does depends on its name:
 *
 *   steady     fills pages and waits
 *   rewriting  rewrites pages all the time
 *   failing    fails always
 *   unlucky    fails if more than one link was asked for
 *   refused    as steady
 *   stubborn   does not end
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGES = 200, PAGE = 4096 };

static volatile sig_atomic_t over;

static void end(int number)
{
	(void)number;
	over = 1;
}

static unsigned char *memory, shadow[PAGES];

static void rewrite(int page, unsigned char value)
{
	shadow[page] = value;
	memset(memory + page * PAGE, value, PAGE);
}

static const char *what_is_wrong(const char *name)
{
	char second_link[200];

	for (int at = 0; at < PAGES * PAGE; at++)
		if (memory[at] != shadow[at / PAGE])
			return "a page is not as it was written";
	snprintf(second_link, sizeof(second_link), "dump/zdtm/static/unlucky/%d/2", getpid());
	if (!strcmp(name, "unlucky") && !access(second_link, F_OK))
		return "more than one link was asked for";
	return strcmp(name, "failing") ? NULL : "it always does";
}

static void detach(const char *pidfile)
{
	int ready[2], nowhere;
	char byte;
	pid_t pid;

	if (pipe(ready) || (pid = fork()) < 0)
		exit(1);
	if (pid) {
		FILE *file;

		close(ready[1]);
		if (read(ready[0], &byte, 1) != 1 || !(file = fopen(pidfile, "w")))
			exit(1);
		fprintf(file, "%d", pid);
		exit(fclose(file) ? 1 : 0);
	}
	setsid();
	nowhere = open("/dev/null", O_RDWR);
	for (int fd = 0; fd < 3; fd++)
		dup2(nowhere, fd);
	close(nowhere);
	close(ready[0]);
	if (write(ready[1], "", 1) != 1)
		exit(1);
	close(ready[1]);
}

int main(int argc, char **argv)
{
	const char *name = basename(argv[0]), *pidfile = NULL, *outfile = NULL, *wrong;
	struct sigaction ending = { .sa_handler = end };
	sigset_t blocked, waiting;
	unsigned int step = 0;
	FILE *output;

	for (int at = 1; at < argc; at++) {
		if (!strncmp(argv[at], "--pidfile=", 10))
			pidfile = argv[at] + 10;
		if (!strncmp(argv[at], "--outfile=", 10))
			outfile = argv[at] + 10;
	}
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!pidfile || !outfile || memory == MAP_FAILED)
		return 1;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &waiting);
	if (strcmp(name, "stubborn"))
		sigaction(SIGTERM, &ending, NULL);
	else
		signal(SIGTERM, SIG_IGN);
	for (int page = 0; page < PAGES; page++)
		rewrite(page, page);
	detach(pidfile);
	while (!over) {
		struct timespec soon = { .tv_nsec = 1000000 };
		siginfo_t come;

		if (strcmp(name, "rewriting")) {
			sigsuspend(&waiting);
			continue;
		}
		rewrite(step * 7919 % PAGES, step / 256 + step);
		step++;
		over = sigtimedwait(&blocked, &come, &soon) == SIGTERM;
	}
	wrong = what_is_wrong(name);
	output = fopen(outfile, "w");
	if (!output)
		return 1;
	fprintf(output, wrong ? "FAIL: %s\n" : "PASS\n", wrong);
	return fclose(output) ? 1 : 0;
}
