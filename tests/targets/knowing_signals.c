/* Targets of the harm test that depend on signals and timers. */
#include "knowing/knowing.h"

#include <sys/timerfd.h>

static void handle_with(int number, int flags)
{
	struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | flags};

	sigaddset(&action.sa_mask, (number % 31) + 1);
	sigaction(number, &action, NULL);
}

/* Handles every signal there is, each with other flags and another mask. */
static void handle_all(void)
{
	static const int flags[] = {0, SA_RESTART, SA_ONSTACK, SA_NODEFER | SA_RESTART, SA_NOCLDSTOP, SA_NOCLDWAIT};

	for (int number = 1; number <= LAST_SIGNAL; number++)
		handle_with(number, flags[number % 6]);
}

static void *wait_for_ever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void queue(int number, int value)
{
	union sigval with = {.sival_int = value};

	require(sigqueue(getpid(), number, with), "queue a signal");
}

/* Signals wait for it and for a thread of it: plain ones, and real-time ones in a queue, with values. */
static void have_pending(void)
{
	sigset_t all;
	pthread_t thread;

	handle_all();
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	pthread_create(&thread, NULL, wait_for_ever, NULL);
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGTRAP);
	kill(getpid(), SIGCHLD);
	for (int value = 0; value < 5; value++) {
		queue(SIGRTMIN + 3, value);
		queue(SIGRTMIN, value * 2);
	}
	pthread_kill(thread, SIGUSR2);
	pthread_kill(thread, SIGTRAP);
	pthread_kill(pthread_self(), SIGRTMIN + 1);
}

/* Takes the signals out of their queue, and puts each back behind the others: so the next answer finds the same. */
static void tell_pending(void)
{
	sigset_t queued;
	int wanted = SIGRTMIN + 3;

	for (int at = 0; at < 5; at++) {
		struct timespec at_once = {0};
		siginfo_t info = {0};
		char name[32];

		sigemptyset(&queued);
		sigaddset(&queued, wanted);
		if (sigtimedwait(&queued, &info, &at_once) != wanted) {
			say("queued", "lost");
			return;
		}
		snprintf(name, sizeof name, "queued %d", at);
		say(name, "%d, code %d, from %d", info.si_value.sival_int, info.si_code, info.si_pid);
		queue(wanted, info.si_value.sival_int);
	}
}

/* Uses SIGTRAP as debuggers' targets do, and SIGCHLD: handled, blocked, and one of them waits. */
static void use_traps(void)
{
	sigset_t set;

	handle_with(SIGTRAP, 0);
	handle_with(SIGCHLD, SA_NOCLDSTOP);
	signal(SIGSYS, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	raise(SIGTRAP);
}

static void ignore_traps(void)
{
	for (int number = 1; number <= LAST_SIGNAL; number++)
		signal(number, SIG_IGN);
}

/* Works in a handler, on a stack of its own, while the signal is blocked. */
static void serve_in_handler(int number)
{
	(void)number;
	serve_standard_input(NULL);
}

static void work_on_another_stack(void)
{
	stack_t stack = {.ss_size = 1 << 18};
	struct sigaction action = {.sa_handler = serve_in_handler, .sa_flags = SA_ONSTACK};

	stack.ss_sp = map_filled(stack.ss_size, 1, MAP_PRIVATE);
	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
}

/* -- timers of each kind */

static timer_t timers[3];
static int timer_descriptors[2];
static const clockid_t timer_clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_PROCESS_CPUTIME_ID};
static volatile int rounds;

static void count_round(union sigval unused)
{
	(void)unused;
	rounds++;
}

static void have_timers(void)
{
	struct itimerval real = {.it_value = {1000, 500}}, often = {.it_value = {100, 0}, .it_interval = {100, 0}};
	struct itimerspec once = {.it_value = {2000, 5}}, again = {.it_value = {3000, 7}, .it_interval = {1, 0}};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2};
	struct sigevent by_thread = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = count_round};

	handle_all();
	setitimer(ITIMER_REAL, &real, NULL);
	setitimer(ITIMER_VIRTUAL, &often, NULL);
	setitimer(ITIMER_PROF, &often, NULL);
	for (int at = 0; at < 3; at++) {
		require(timer_create(timer_clocks[at], at == 1 ? &by_thread : &event, &timers[at]), "make a timer");
		timer_settime(timers[at], 0, at ? &again : &once, NULL);
	}
	for (int at = 0; at < 2; at++) {
		timer_descriptors[at] = timerfd_create(at ? CLOCK_REALTIME : CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		timerfd_settime(timer_descriptors[at], 0, at ? &again : &once, NULL);
	}
}

static void tell_timers(void)
{
	struct itimerspec now;
	double asked_us;
	char name[32];

	for (int at = 0; at < 3; at++) {
		asked_us = now_us(timer_clocks[at]);
		timer_gettime(timers[at], &now);
		snprintf(name, sizeof name, "timer %d", at);
		say_expiry(name, timer_clocks[at], asked_us, in_us(now.it_value), 1);
		snprintf(name, sizeof name, "timer %d missed", at);
		say(name, "%d, each %g us", timer_getoverrun(timers[at]), in_us(now.it_interval));
	}
	for (int at = 0; at < 2; at++) {
		clockid_t clock = at ? CLOCK_REALTIME : CLOCK_MONOTONIC;

		asked_us = now_us(clock);
		timerfd_gettime(timer_descriptors[at], &now);
		snprintf(name, sizeof name, "timer descriptor %d", at);
		say_expiry(name, clock, asked_us, in_us(now.it_value), 1);
	}
	say("rounds", "%d", rounds);
}

static const struct kind kinds[] = {
	{"plain"},
	{"handling", handle_all},
	{"pending", have_pending, tell_pending},
	{"trapping", use_traps},
	{"ignoring", ignore_traps},
	{"altstack", work_on_another_stack},
	{"timers", have_timers, tell_timers},
};

int main(int argc, char **argv) { return become(kinds, sizeof kinds / sizeof *kinds, argc, argv); }
