/* Every system call that waits: without end, or for `timeout_ms`.

   Each function is called again and again on a thread of its own, makes what it waits for at the first time, and
   returns 0 when it has waited in vain or got something, else an errno. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

static long timeout_ms = -1;

/* Semaphores and message queues that end with the process: in a namespace of its own. */
static inline void keep_ipc_private(void)
{
	if (unshare(CLONE_NEWIPC)) /* then they remain */
		errno = 0;
}

static inline struct timespec *limit(struct timespec *room)
{
	room->tv_sec = timeout_ms / 1000;
	room->tv_nsec = timeout_ms % 1000 * 1000000;
	return timeout_ms < 0 ? NULL : room;
}

/* The same as a moment. */
static inline struct timespec *deadline(struct timespec *room, clockid_t clock)
{
	clock_gettime(clock, room);
	room->tv_sec += timeout_ms < 0 ? 1000000 : timeout_ms / 1000;
	room->tv_nsec += timeout_ms < 0 ? 0 : timeout_ms % 1000 * 1000000;
	if (room->tv_nsec >= 1000000000) {
		room->tv_sec++;
		room->tv_nsec -= 1000000000;
	}
	return room;
}

static inline int result(long returned) { return returned < 0 ? errno : 0; }

static __thread int descriptor = -1;
static __thread int ends[2];

/* -- many descriptors at once */

static int epoll_descriptor(void)
{
	if (descriptor < 0) {
		struct epoll_event event = {.events = EPOLLIN};
		if (pipe(ends))
			return -1;
		descriptor = epoll_create1(0);
		epoll_ctl(descriptor, EPOLL_CTL_ADD, ends[0], &event);
	}
	return descriptor;
}

static int in_epoll_wait(void)
{
	struct epoll_event event;
	return result(epoll_wait(epoll_descriptor(), &event, 1, timeout_ms));
}

static int in_epoll_pwait(void)
{
	struct epoll_event event;
	sigset_t none;
	sigemptyset(&none);
	return result(epoll_pwait(epoll_descriptor(), &event, 1, timeout_ms, &none));
}

static int in_epoll_pwait2(void)
{
	struct epoll_event event;
	struct timespec room;
	return result(syscall(SYS_epoll_pwait2, epoll_descriptor(), &event, 1, limit(&room), NULL, 0));
}

static int in_poll(void)
{
	struct pollfd nothing = {.fd = -1};
	return result(poll(&nothing, 1, timeout_ms));
}

static int in_ppoll(void)
{
	struct pollfd nothing = {.fd = -1};
	struct timespec room;
	sigset_t none;
	sigemptyset(&none);
	return result(ppoll(&nothing, 1, limit(&room), &none));
}

static int in_select(void)
{
	struct timeval room = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
	return result(select(0, NULL, NULL, NULL, timeout_ms < 0 ? NULL : &room));
}

static int in_pselect(void)
{
	struct timespec room;
	sigset_t none;
	sigemptyset(&none);
	return result(pselect(0, NULL, NULL, NULL, limit(&room), &none));
}

/* -- System V, and message queues */

static int in_semop(void)
{
	struct sembuf down = {.sem_op = -1};
	if (descriptor < 0)
		descriptor = semget(IPC_PRIVATE, 1, 0600);
	return result(semop(descriptor, &down, 1));
}

static int in_semtimedop(void)
{
	struct sembuf down = {.sem_op = -1};
	struct timespec room;
	if (descriptor < 0)
		descriptor = semget(IPC_PRIVATE, 1, 0600);
	return result(semtimedop(descriptor, &down, 1, limit(&room)));
}

struct message {
	long type;
	char text[4096];
};

static int in_msgrcv(void)
{
	static __thread struct message message;
	if (descriptor < 0)
		descriptor = msgget(IPC_PRIVATE, 0600);
	return result(msgrcv(descriptor, &message, 8, 0, 0));
}

static int in_msgsnd(void)
{
	static __thread struct message message = {1, ""};
	if (descriptor < 0) {
		descriptor = msgget(IPC_PRIVATE, 0600);
		while (!msgsnd(descriptor, &message, sizeof message.text, IPC_NOWAIT))
			;
	}
	return result(msgsnd(descriptor, &message, sizeof message.text, 0));
}

static int in_mq_receive(void)
{
	struct mq_attr one = {.mq_maxmsg = 1, .mq_msgsize = 8};
	struct timespec room;
	char text[8], name[32];
	if (descriptor < 0) {
		snprintf(name, sizeof name, "/dirtytop-%d", getpid());
		descriptor = mq_open(name, O_RDWR | O_CREAT, 0600, &one);
		mq_unlink(name);
	}
	if (timeout_ms < 0)
		return result(mq_receive(descriptor, text, sizeof text, NULL));
	return result(mq_timedreceive(descriptor, text, sizeof text, NULL, deadline(&room, CLOCK_REALTIME)));
}

/* -- signals, time, futexes, children */

static int in_sigtimedwait(void)
{
	struct timespec room;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return result(syscall(SYS_rt_sigtimedwait, &set, NULL, limit(&room), 8));
}

static int in_pause(void) { return result(pause()); }

static int in_sigsuspend(void)
{
	sigset_t none;
	sigemptyset(&none);
	return result(sigsuspend(&none));
}

static int in_nanosleep(void)
{
	struct timespec room, whole = {1000, 0};
	return result(nanosleep(limit(&room) ? &room : &whole, NULL));
}

static int in_clock_nanosleep(void)
{
	struct timespec room;
	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, deadline(&room, CLOCK_MONOTONIC), NULL);
}

static int in_futex(void)
{
	static __thread int word;
	struct timespec room;
	return result(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, limit(&room), NULL, 0));
}

static int in_futex_bitset(void)
{
	static __thread int word;
	struct timespec room;
	return result(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0,
			      timeout_ms < 0 ? NULL : deadline(&room, CLOCK_MONOTONIC), NULL, ~0));
}

static int in_futex_waitv(void)
{
	static __thread int word;
	struct {
		uint64_t value, address;
		uint32_t flags, reserved;
	} one = {0, (uintptr_t)&word, 2 | FUTEX_PRIVATE_FLAG, 0};
	struct timespec room;
	return result(syscall(SYS_futex_waitv, &one, 1, 0,
			      timeout_ms < 0 ? NULL : deadline(&room, CLOCK_MONOTONIC), CLOCK_MONOTONIC));
}

static pid_t waited_for; /* a child that does not end */

static void have_child_to_wait_for(void)
{
	waited_for = fork();
	if (waited_for)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

static int in_wait4(void) { return result(wait4(waited_for, NULL, 0, NULL)); }

static int in_waitid(void)
{
	siginfo_t info;
	return result(waitid(P_PID, waited_for, &info, WEXITED | WNOWAIT));
}

/* -- asynchronous reading and writing */

static aio_context_t *aio_context(void)
{
	static __thread aio_context_t context;
	if (!context)
		syscall(SYS_io_setup, 1, &context);
	return &context;
}

static int in_io_getevents(void)
{
	struct io_event event;
	struct timespec room;
	return result(syscall(SYS_io_getevents, *aio_context(), 1L, 1L, &event, limit(&room)));
}

static int in_io_pgetevents(void)
{
	struct io_event event;
	struct timespec room;
	return result(syscall(SYS_io_pgetevents, *aio_context(), 1L, 1L, &event, limit(&room), NULL));
}

static int in_io_uring_enter(void)
{
	struct timespec room;
	struct io_uring_params parameters = {0};
	struct io_uring_getevents_arg how = {.sigmask_sz = 8, .ts = (uintptr_t)limit(&room)};
	if (descriptor < 0)
		descriptor = syscall(SYS_io_uring_setup, 4, &parameters);
	if (timeout_ms < 0)
		return result(syscall(SYS_io_uring_enter, descriptor, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0));
	return result(syscall(SYS_io_uring_enter, descriptor, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
			      &how, sizeof how));
}

#include "waiters_of_descriptors.h"

static struct waiter {
	const char *name;
	int (*wait)(void);
	int is_endless; /* whatever timeout is given */
	volatile long eintr, done, late_ms, early_ms;
	volatile int error; /* what it was done with the last time */
} waiters[] = {
	{"epoll_wait", in_epoll_wait},
	{"epoll_pwait", in_epoll_pwait},
	{"epoll_pwait2", in_epoll_pwait2},
	{"poll", in_poll},
	{"ppoll", in_ppoll},
	{"select", in_select},
	{"pselect", in_pselect},
	{"semop", in_semop, 1},
	{"semtimedop", in_semtimedop},
	{"msgrcv", in_msgrcv, 1},
	{"msgsnd", in_msgsnd, 1},
	{"mq_receive", in_mq_receive},
	{"sigtimedwait", in_sigtimedwait},
	{"pause", in_pause, 1},
	{"sigsuspend", in_sigsuspend, 1},
	{"nanosleep", in_nanosleep},
	{"clock_nanosleep", in_clock_nanosleep},
	{"futex", in_futex},
	{"futex_bitset", in_futex_bitset},
	{"futex_waitv", in_futex_waitv},
	{"wait4", in_wait4, 1},
	{"waitid", in_waitid, 1},
	{"io_getevents", in_io_getevents},
	{"io_pgetevents", in_io_pgetevents},
	{"io_uring_enter", in_io_uring_enter},
	{"recv", in_recv},
	{"recvmsg", in_recvmsg},
	{"recvmmsg", in_recvmmsg},
	{"send", in_send},
	{"accept", in_accept},
	{"connect", in_connect},
	{"read", in_read, 1},
	{"read_socket", in_read_socket, 1},
	{"read_eventfd", in_read_eventfd, 1},
	{"read_timerfd", in_read_timerfd, 1},
	{"read_signalfd", in_read_signalfd, 1},
	{"read_inotify", in_read_inotify, 1},
	{"read_terminal", in_read_terminal, 1},
	{"write", in_write, 1},
	{"splice", in_splice, 1},
	{"open", in_open, 1},
	{"flock", in_flock, 1},
	{"setlkw", in_setlkw, 1},
};
enum { WAITERS = sizeof waiters / sizeof *waiters };

static double now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void *wait_on_and_on(void *argument)
{
	struct waiter *waiter = argument;
	for (;;) {
		double began_ms = now_ms();
		int error = waiter->wait();
		double late_ms = now_ms() - began_ms - timeout_ms;
		if (error == EINTR) {
			waiter->eintr++;
			continue;
		}
		waiter->error = error;
		waiter->done++;
		if (late_ms > waiter->late_ms)
			waiter->late_ms = late_ms;
		if (-late_ms > waiter->early_ms)
			waiter->early_ms = -late_ms;
	}
	return NULL;
}

/* A thread in each, with SIGUSR2 blocked, which some wait for. */
static inline void start_waiting(void)
{
	sigset_t set;

	keep_ipc_private();
	have_child_to_wait_for();
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (int at = 0; at < WAITERS; at++) {
		pthread_t thread;
		pthread_create(&thread, NULL, wait_on_and_on, &waiters[at]);
	}
}
