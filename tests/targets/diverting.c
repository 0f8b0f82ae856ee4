/* Diverts its own system calls to a handler, as programs do that run others' code; says how many it handled. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

#ifdef __x86_64__

static volatile char blocks;
static volatile sig_atomic_t diverted;

static void divert(int number) { diverted += number != 0; }

/* Alone on its page: its own system call must not be diverted, and it lies in the range that may make them. */
__attribute__((noinline, aligned(4096), section(".calls"))) static long wait_for_a_line(char *line, long size)
{
	long result;
	asm volatile("syscall"
		     : "=a"(result)
		     : "a"(SYS_read), "D"(0L), "S"(line), "d"(size)
		     : "rcx", "r11", "memory");
	return result;
}

int main(void)
{
	char line[64];
	signal(SIGSYS, divert);
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, (long)wait_for_a_line, 256L, &blocks)) {
		puts("cannot");
		fflush(stdout);
		return 0;
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		blocks = 1;
		long got = wait_for_a_line(line, sizeof line);
		blocks = 0;
		if (got <= 0)
			return 0;
		printf("%d\n", (int)diverted);
		fflush(stdout);
	}
}

#else

int main(void)
{
	puts("cannot");
	return 0;
}

#endif
