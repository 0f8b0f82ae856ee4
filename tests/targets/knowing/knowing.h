/* What the targets of the harm test share: each becomes one of several kinds, and tells all it knows of itself.

   usage: PROGRAM KIND

   It says "ready", or "cannot: WHY". It answers each line on its standard input with lines "NAME: VALUE", the last one
   of which is ".". A value "FROM..TO" is one that lies between the two.

   What is told must not change by itself, so nothing is told here that grows with each answer. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096 };

struct kind {
	const char *name;
	void (*begin)(void); /* becomes it; if it does not return, it has called serve_beside before */
	void (*tell)(void);  /* what this kind knows besides; may be NULL */
};

static const struct kind *kind;

/* -- saying things */

static FILE *output;

__attribute__((format(printf, 2, 3))) static inline void say(const char *name, const char *format, ...)
{
	va_list arguments;

	fprintf(output, "%s: ", name);
	va_start(arguments, format);
	vfprintf(output, format, arguments);
	va_end(arguments);
	fputc('\n', output);
}

/* This machine cannot have the kind. */
__attribute__((noreturn)) static inline void cannot(const char *what)
{
	printf("cannot: %s (%s)\n", what, strerror(errno));
	fflush(stdout);
	_exit(0);
}

static inline long require(long result, const char *what)
{
	if (result == -1)
		cannot(what);
	return result;
}

/* -- memory whose content is told */

struct region {
	const char *name;
	const unsigned char *start;
	size_t size;
};

static struct region regions[16];
static int region_count;

/* Memory that must stay as it is from now on; all of it is read each time. */
static inline void watch_over(const char *name, const void *start, size_t size)
{
	regions[region_count++] = (struct region){name, start, size};
}

static inline unsigned char *map_filled(size_t size, int value, int flags)
{
	unsigned char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);

	if (memory == MAP_FAILED)
		cannot("map memory");
	for (size_t at = 0; at < size; at += PAGE)
		memset(memory + at, value + at / PAGE % 7, PAGE);
	return memory;
}

static inline void tell_regions(void)
{
	for (int at = 0; at < region_count; at++) {
		uint64_t hash = 14695981039346656037u;

		for (size_t byte = 0; byte < regions[at].size; byte += 8)
			hash = (hash ^ *(const uint64_t *)(regions[at].start + byte)) * 1099511628211u;
		fprintf(output, "content of %s: %016llx\n", regions[at].name, (unsigned long long)hash);
	}
}

#include "account.h"
#include "registers.h"

/* -- answering */

static int interrupted; /* how often a handler was run while it waited for a question */

static inline void tell_all(void)
{
	tell_registers();
	say("EINTR of read", "%d", interrupted);
	tell_signals();
	tell_limits();
	tell_descriptors();
	tell_attributes();
	tell_interval_timers();
	tell_regions();
	if (kind->tell)
		kind->tell();
	fputs(".\n", output);
	fflush(output);
}

static inline void serve(int questions)
{
	char line[64];
	long got;

	while ((got = wait_keeping_registers(questions, line, sizeof line)) > 0 || got == -EINTR)
		if (got > 0)
			tell_all();
		else
			interrupted++;
}

static void *serve_standard_input(void *unused)
{
	(void)unused;
	puts("ready");
	fflush(stdout);
	serve(0);
	_exit(0);
}

/* Have another thread answer, as this one has something else to do; the target is ready now. */
static inline pthread_t serve_beside(void)
{
	pthread_t thread;

	if ((errno = pthread_create(&thread, NULL, serve_standard_input, NULL)))
		cannot("start a thread");
	return thread;
}

/* -- children that answer too */

struct child {
	pid_t pid;
	int question;
	FILE *answer;
};

/* Fork a child of another kind, which answers through pipes. */
static inline struct child answering_child(const struct kind *of)
{
	int questions[2], answers[2];
	struct child child;
	char ready;

	if (pipe(questions) || pipe(answers) || (child.pid = fork()) < 0)
		cannot("fork a child that answers");
	if (!child.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(questions[0], 0);
		dup2(answers[1], 1);
		for (int at = 0; at < 2; at++) {
			close(questions[at]);
			close(answers[at]);
		}
		kind = of;
		if (kind->begin)
			kind->begin();
		fputs("r", output);
		fflush(output);
		serve(0);
		_exit(0);
	}
	close(questions[0]);
	close(answers[1]);
	child.question = questions[1];
	child.answer = fdopen(answers[0], "r");
	if (fread(&ready, 1, 1, child.answer) != 1)
		cannot("have a child that answers");
	return child;
}

/* What it tells, each line with a name before it. */
static inline void tell_child(const char *name, struct child *child)
{
	static char line[1024];

	if (write(child->question, "\n", 1) != 1) {
		say(name, "does not listen: %s", strerror(errno));
		return;
	}
	for (;;) {
		if (!fgets(line, sizeof line, child->answer)) {
			say(name, "does not answer");
			return;
		}
		if (!strcmp(line, ".\n"))
			return;
		fprintf(output, "%s %s", name, line);
	}
}

/* A child that does nothing but wait. */
static inline pid_t idle_child(void)
{
	pid_t pid = fork();

	if (pid)
		return (pid_t)require(pid, "fork");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

/* -- main */

static inline int become(const struct kind *kinds, int count, int argc, char **argv)
{
	static char buffer[1 << 16];

	output = stdout;
	setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
	for (int at = 0; at < count; at++) {
		kind = &kinds[at];
		if (argc > 1 && !strcmp(argv[1], kind->name)) {
			if (kind->begin)
				kind->begin();
			serve_standard_input(NULL);
		}
	}
	errno = EINVAL;
	cannot(argc > 1 ? argv[1] : "nothing");
}
