/* Targets of the harm test whose system calls are treated in some special way, or that make none. */
#include "knowing/knowing.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

/* -- filters */

/* A filter under which the system calls that we would make in it kill it, or do nothing and seem to succeed. */
static void confine(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigtimedwait, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

	require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "gain no privileges");
	require(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "install a filter");
}

static void tell_filter(void)
{
	sigset_t set;
	struct timespec at_once = {0};

	sigemptyset(&set);
	errno = 0;
	say("filtered call", "%ld, errno %d", syscall(SYS_rt_sigtimedwait, &set, NULL, &at_once, 8), errno);
}

/* The strict mode, in which read, write and exit are all that it may call: so it tells little. */
static void confine_strictly(void)
{
	static char line[64], answer[64];
	unsigned char *memory = map_filled(16 * PAGE, 3, MAP_PRIVATE);

	if (write(1, "ready\n", 6) != 6 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		_exit(1);
	while (wait_keeping_registers(0, line, sizeof line) > 0) {
		int length = snprintf(answer, sizeof answer, "registers changed: %d\nfirst byte: %d\n.\n",
				      registers_changed, memory[0]);

		if (write(1, answer, length) != length)
			break;
	}
	syscall(SYS_exit, 0);
}

/* -- Syscall User Dispatch */

#ifdef __x86_64__

static volatile char blocks;
static volatile sig_atomic_t diverted;

static void divert(int number) { diverted += number != 0; }

/* Alone on its page, which lies in the range whose calls are not diverted. */
__attribute__((noinline, aligned(4096), section(".calls"))) static long read_undiverted(char *line, long size)
{
	long result;

	asm volatile("syscall" : "=a"(result) : "a"(SYS_read), "D"(0L), "S"(line), "d"(size) : "rcx", "r11", "memory");
	return result;
}

static void tell_diverted(void) { say("calls diverted", "%d", (int)diverted); }

static void divert_calls(void)
{
	char line[64];

	signal(SIGSYS, divert);
	require(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, (long)read_undiverted, 256L, &blocks), "divert calls");
	puts("ready");
	fflush(stdout);
	for (;;) {
		long got;

		blocks = 1;
		got = read_undiverted(line, sizeof line);
		blocks = 0;
		if (got <= 0)
			_exit(0);
		tell_all();
	}
}

#else

static void tell_diverted(void) {}

static void divert_calls(void)
{
	errno = ENOSYS;
	cannot("divert calls");
}

#endif

/* -- no system call at all */

static volatile unsigned long computed, computed_wrong;

/* Computes with whole numbers and others, and looks at each result. */
static void spin(void)
{
	serve_beside();
	for (;;) {
		uint64_t whole = 1;
		double part = 1;

		for (int step = 0; step < 100000; step++) {
			whole = whole * 6364136223846793005u + 1442695040888963407u;
			part = part * 0.5 + 1;
		}
		computed_wrong += whole != 0x6cfc9548ff6cbfa1 || part != 2;
		computed++;
	}
}

static void tell_spinning(void)
{
	unsigned long before = computed;

	while (computed < before + 2)
		sched_yield();
	say("computed wrong", "%ld", computed_wrong);
}

/* -- restartable sequences, by which threads count without locks */

#if defined(__x86_64__) && __has_include(<sys/rseq.h>)
#include <sys/rseq.h>

enum { COUNTERS = 1024, COUNTING = 3 };

static volatile struct {
	long count, padding[7];
} counters[COUNTERS]; /* one a processor */
static volatile long counted[COUNTING];
static volatile int is_pausing, paused;

/* Adds one to the counter of this processor, unless the thread is moved or interrupted in the middle; 0 then. */
static int count_here(struct rseq *area, unsigned processor)
{
	volatile long *counter = &counters[processor % COUNTERS].count;

	asm goto(".pushsection sequences, \"aw\"\n"
		 ".balign 32\n"
		 "3: .long 0, 0\n"
		 ".quad 1f, 2f - 1f, 4f\n"
		 ".popsection\n"
		 "leaq 3b(%%rip), %%rax\n"
		 "movq %%rax, 8(%[area])\n"
		 "1: cmpl %[processor], 4(%[area])\n"
		 "jne %l[aborted]\n"
		 "movq (%[counter]), %%rax\n"
		 "movl $200, %%ecx\n"
		 "5: decl %%ecx\n"
		 "jnz 5b\n"
		 "incq %%rax\n"
		 "movq %%rax, (%[counter])\n"
		 "2:\n"
		 ".pushsection aborts, \"ax\"\n"
		 ".byte 0x0f, 0xb9, 0x3d\n"
		 ".long 0x53053053\n"
		 "4: jmp %l[aborted]\n"
		 ".popsection"
		 :
		 : [area] "r"(area), [processor] "r"(processor), [counter] "r"(counter)
		 : "rax", "rcx", "memory", "cc"
		 : aborted);
	return 1;
aborted:
	return 0;
}

static void *count(void *number)
{
	struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);

	for (;;) {
		counted[(long)number] += count_here(area, area->cpu_id_start);
		if (is_pausing) {
			__atomic_add_fetch(&paused, 1, __ATOMIC_SEQ_CST);
			while (is_pausing)
				sched_yield();
			__atomic_sub_fetch(&paused, 1, __ATOMIC_SEQ_CST);
		}
	}
	return NULL;
}

static void have_sequences(void)
{
	pthread_t thread;

	errno = ENOSYS;
	if (!__rseq_size)
		cannot("have restartable sequences");
	for (long at = 0; at < COUNTING; at++)
		pthread_create(&thread, NULL, count, (void *)at);
}

static void tell_sequences(void)
{
	long all = 0;

	is_pausing = 1;
	while (paused < COUNTING)
		sched_yield();
	for (int at = 0; at < COUNTERS; at++)
		all += counters[at].count;
	for (int at = 0; at < COUNTING; at++)
		all -= counted[at];
	is_pausing = 0;
	while (paused)
		sched_yield();
	say("counted wrong", "%ld", all);
}

#else

static void tell_sequences(void) {}

static void have_sequences(void)
{
	errno = ENOSYS;
	cannot("have restartable sequences");
}

#endif

static const struct kind kinds[] = {
	{"confined", confine, tell_filter},
	{"strict", confine_strictly},
	{"diverting", divert_calls, tell_diverted},
	{"spinning", spin, tell_spinning},
	{"sequences", have_sequences, tell_sequences},
};

int main(int argc, char **argv) { return become(kinds, sizeof kinds / sizeof *kinds, argc, argv); }
