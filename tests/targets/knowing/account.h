/* What a process can ask the kernel about itself. */
#include <grp.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/time.h>

/* -- signals */

enum { LAST_SIGNAL = 64 };

static volatile int handled[LAST_SIGNAL + 1];  /* how often, by number */
static volatile long handled_values;	       /* what came with them, in its order */

static inline void handle(int number, siginfo_t *info, void *context)
{
	int before = errno;

	(void)context;
	handled[number]++;
	handled_values = handled_values * 31 + number * 1000 + info->si_code * 100 + info->si_value.sival_int;
	errno = before;
}

/* As the kernel has it: the C library hides two signals and a flag. */
struct kernel_action {
	unsigned long handler, flags, restorer, mask;
};

static inline void tell_signals(void)
{
	unsigned long mask;

	for (int number = 1; number <= LAST_SIGNAL; number++) {
		struct kernel_action action = {0};

		syscall(SYS_rt_sigaction, number, NULL, &action, sizeof mask);
		fprintf(output, "signal %d: handler %lx, flags %lx, mask %lx, handled %d\n", number, action.handler,
			action.flags, action.mask, handled[number]);
	}
	say("signals came with", "%lx", handled_values);
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof mask);
	say("signals blocked", "%lx", mask);
	syscall(SYS_rt_sigpending, &mask, sizeof mask);
	say("signals pending", "%lx", mask);
	stack_t stack;
	sigaltstack(NULL, &stack);
	say("signal stack", "%p, %zu, %x", stack.ss_sp, stack.ss_size, stack.ss_flags);
}

/* -- limits, and how it runs */

static inline void tell_limits(void)
{
	for (int which = 0; which < 16; which++) {
		struct rlimit limit = {0};

		getrlimit(which, &limit);
		fprintf(output, "limit %d: %lx, %lx\n", which, (long)limit.rlim_cur, (long)limit.rlim_max);
	}
}

static inline void tell_attributes(void)
{
	static const struct {
		int number;
		const char *name;
	} simple[] = {
		{PR_GET_DUMPABLE, "dumpable"},
		{PR_GET_KEEPCAPS, "keeps capabilities"},
		{PR_GET_TIMERSLACK, "timer slack"},
		{PR_GET_NO_NEW_PRIVS, "no new privileges"},
		{PR_GET_SECCOMP, "seccomp"},
		{PR_GET_SECUREBITS, "secure bits"},
		{PR_GET_THP_DISABLE, "huge pages disabled"},
	};
	static char text[PAGE];
	uid_t uid[3];
	gid_t gid[3], groups[64];
	cpu_set_t processors;
	unsigned long processors_hash = 0;
	struct sched_param priority;
	void *robust = NULL;
	size_t length = 0;
	int number = 0;

	for (size_t at = 0; at < sizeof simple / sizeof *simple; at++)
		say(simple[at].name, "%d", prctl(simple[at].number, 0, 0, 0, 0));
	prctl(PR_GET_NAME, text);
	say("name", "%s", text);
	prctl(PR_GET_PDEATHSIG, &number);
	say("signal at the death of its parent", "%d", number);
	prctl(PR_GET_CHILD_SUBREAPER, &number);
	say("reaper", "%d", number);
	say("personality", "%x", personality(0xffffffff));
	number = umask(0);
	umask(number);
	say("umask", "%o", number);
	say("directory", "%s", getcwd(text, sizeof text) ? text : strerror(errno));
	getresuid(&uid[0], &uid[1], &uid[2]);
	getresgid(&gid[0], &gid[1], &gid[2]);
	say("user", "%d %d %d", uid[0], uid[1], uid[2]);
	say("group", "%d %d %d and %d", gid[0], gid[1], gid[2], getgroups(64, groups));
	say("session", "%d, process group %d", getsid(0), getpgid(0));
	say("priority", "%d", getpriority(PRIO_PROCESS, 0));
	sched_getparam(0, &priority);
	say("scheduling", "%d, %d", sched_getscheduler(0), priority.sched_priority);
	say("priority of its disk accesses", "%ld", syscall(SYS_ioprio_get, 1, 0));
	sched_getaffinity(0, sizeof processors, &processors);
	for (int at = 0; at < CPU_SETSIZE; at++)
		processors_hash = processors_hash * 31 + CPU_ISSET(at, &processors);
	say("processors", "%lx", processors_hash);
	syscall(SYS_get_robust_list, 0, &robust, &length);
	say("robust futexes", "%p, %zu", robust, length);
	say("end of its heap", "%p", sbrk(0));
}

/* -- descriptors */

static inline void tell_descriptor(int number, long status)
{
	int descriptor_flags = fcntl(number, F_GETFD);
	struct stat file;

	if (fstat(number, &file))
		memset(&file, 0, sizeof file);
	fprintf(output,
		"descriptor %d: flags %x %lx, owner %d, signal %d, lease %d, at %ld, file %lx %lx, mode %o, size %ld, "
		"blocks %ld\n",
		number, descriptor_flags, status, fcntl(number, F_GETOWN), fcntl(number, F_GETSIG),
		fcntl(number, F_GETLEASE), (long)lseek(number, 0, SEEK_CUR), (long)file.st_dev, (long)file.st_ino,
		file.st_mode, (long)file.st_size, (long)file.st_blocks);
}

static inline void tell_descriptors(void)
{
	struct rlimit limit;
	int last, next;

	getrlimit(RLIMIT_NOFILE, &limit);
	last = limit.rlim_cur < 1024 ? (int)limit.rlim_cur : 1024;
	for (int number = 0; number < last; number++) {
		long status = fcntl(number, F_GETFL);

		if (status != -1)
			tell_descriptor(number, status);
	}
	next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (next < 0)
		say("next descriptor", "%s", strerror(errno));
	else
		say("next descriptor", "%d", next);
	close(next);
}

/* -- what is to happen at some time */

static inline double now_us(clockid_t clock)
{
	struct timespec now = {0};

	syscall(SYS_clock_gettime, clock, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

/* When something expires: `left_us` was asked for after `asked_us`, and has some resolution. */
static inline void say_expiry(const char *name, clockid_t clock, double asked_us, double left_us, double resolution_us)
{
	if (left_us == 0)
		say(name, "expires never");
	else
		say(name, "expires %.0f..%.0f", asked_us + left_us - resolution_us,
		    now_us(clock) + left_us + resolution_us);
}

static inline double in_us(struct timespec time) { return time.tv_sec * 1e6 + time.tv_nsec / 1e3; }

static inline void tell_interval_timers(void)
{
	/* Of the process: all of its time, and that in its own code (CPUCLOCK_PROF, CPUCLOCK_VIRT). */
	static const struct {
		const char *name;
		clockid_t clock;
		double resolution_us;
	} timers[] = {
		[ITIMER_REAL] = {"interval timer real", CLOCK_MONOTONIC, 2},
		[ITIMER_VIRTUAL] = {"interval timer virtual", ~0 * 8 | 1, 20000},
		[ITIMER_PROF] = {"interval timer profiling", ~0 * 8 | 0, 20000},
	};

	for (int which = 0; which < 3; which++) {
		double asked_us = now_us(timers[which].clock);
		struct itimerval timer = {0};

		getitimer(which, &timer);
		say_expiry(timers[which].name, timers[which].clock, asked_us,
			   timer.it_value.tv_sec * 1e6 + timer.it_value.tv_usec, timers[which].resolution_us);
	}
}
