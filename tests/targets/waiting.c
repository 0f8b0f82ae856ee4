/* Waits in every call that a stop may cut short, each on a thread of its own, and counts what came of it.

   usage: waiting [MILLISECONDS]    waits without end, or for so long, again and again

   Answers each line on its standard input with one line: for each call its name, how often it returned EINTR,
   how often it was done, and by how many milliseconds it was at worst done too late and too early. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long timeout_ms = -1;

struct waiter {
	const char *name;
	int (*wait)(void); /* 0 if it timed out, else an errno */
	int is_endless;    /* whatever timeout is given */
	volatile long eintr, done, late_ms, early_ms;
};

static struct timespec *limit(struct timespec *room)
{
	room->tv_sec = timeout_ms / 1000;
	room->tv_nsec = timeout_ms % 1000 * 1000000;
	return timeout_ms < 0 ? NULL : room;
}

static int result(long returned) { return returned < 0 ? errno : 0; }

static __thread int descriptor = -1;
static __thread int ends[2];

static int epoll_descriptor(void)
{
	if (descriptor < 0) {
		struct epoll_event event = {.events = EPOLLIN};
		pipe(ends);
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

static int in_semtimedop(void)
{
	struct sembuf down = {.sem_op = -1};
	struct timespec room;
	if (descriptor < 0)
		descriptor = semget(IPC_PRIVATE, 1, 0600);
	return result(semtimedop(descriptor, &down, 1, limit(&room)));
}

static int in_sigtimedwait(void)
{
	struct timespec room;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return result(syscall(SYS_rt_sigtimedwait, &set, NULL, limit(&room), 8));
}

static int in_io_getevents(void)
{
	static __thread aio_context_t context;
	struct io_event event;
	struct timespec room;
	if (!context)
		syscall(SYS_io_setup, 1, &context);
	return result(syscall(SYS_io_getevents, context, 1L, 1L, &event, limit(&room)));
}

static int in_recv(void)
{
	char byte;
	if (descriptor < 0) {
		struct timeval room = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
		socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
		descriptor = ends[0];
		if (timeout_ms >= 0)
			setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &room, sizeof room);
	}
	return result(recv(descriptor, &byte, 1, 0));
}

static int in_poll(void)
{
	struct pollfd nothing = {.fd = -1};
	return result(poll(&nothing, 1, timeout_ms));
}

static int in_nanosleep(void)
{
	struct timespec room, whole = {1000, 0};
	return result(nanosleep(limit(&room) ? &room : &whole, NULL));
}

static int in_futex(void)
{
	static __thread int word;
	struct timespec room;
	return result(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, limit(&room), NULL, 0));
}

static int in_read(void)
{
	char byte;
	if (descriptor < 0) {
		pipe(ends);
		descriptor = ends[0];
	}
	return result(read(descriptor, &byte, 1));
}

static int in_msgrcv(void)
{
	struct {
		long type;
		char text[8];
	} message;
	if (descriptor < 0)
		descriptor = msgget(IPC_PRIVATE, 0600);
	return result(msgrcv(descriptor, &message, 8, 0, 0));
}

static struct waiter waiters[] = {
	{"epoll_wait", in_epoll_wait},
	{"epoll_pwait", in_epoll_pwait},
	{"epoll_pwait2", in_epoll_pwait2},
	{"semtimedop", in_semtimedop},
	{"sigtimedwait", in_sigtimedwait},
	{"io_getevents", in_io_getevents},
	{"recv", in_recv},
	{"poll", in_poll},
	{"nanosleep", in_nanosleep},
	{"futex", in_futex},
	{"read", in_read, 1},
	{"msgrcv", in_msgrcv, 1},
};
#define COUNT (int)(sizeof waiters / sizeof *waiters)

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
		waiter->done++;
		if (late_ms > waiter->late_ms)
			waiter->late_ms = late_ms;
		if (-late_ms > waiter->early_ms)
			waiter->early_ms = -late_ms;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	char line[64];
	sigset_t set;
	if (argc > 1)
		timeout_ms = atol(argv[1]);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (int at = 0; at < COUNT; at++) {
		pthread_t thread;
		pthread_create(&thread, NULL, wait_on_and_on, &waiters[at]);
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		for (int at = 0; at < COUNT; at++)
			printf("%s %ld %ld %ld %ld;", waiters[at].name, waiters[at].eintr, waiters[at].done,
			       waiters[at].late_ms, waiters[at].early_ms);
		puts("");
		fflush(stdout);
	}
	return 0;
}
