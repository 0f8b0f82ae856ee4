/* Those of the system calls that wait (waiters.h) that work on one descriptor: sockets, read and write, locks. */
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>

/* -- sockets */

static int socket_with_timeout(int type)
{
	if (descriptor < 0) {
		struct timeval room = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
		if (socketpair(AF_UNIX, type, 0, ends))
			return -1;
		descriptor = ends[0];
		if (timeout_ms >= 0) {
			setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &room, sizeof room);
			setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &room, sizeof room);
		}
	}
	return descriptor;
}

static int in_recv(void)
{
	char byte;
	return result(recv(socket_with_timeout(SOCK_STREAM), &byte, 1, 0));
}

static int in_recvmsg(void)
{
	char byte;
	struct iovec place = {&byte, 1};
	struct msghdr header = {.msg_iov = &place, .msg_iovlen = 1};
	return result(recvmsg(socket_with_timeout(SOCK_DGRAM), &header, 0));
}

static int in_recvmmsg(void)
{
	char byte;
	struct iovec place = {&byte, 1};
	struct mmsghdr header = {{.msg_iov = &place, .msg_iovlen = 1}, 0};
	return result(recvmmsg(socket_with_timeout(SOCK_DGRAM), &header, 1, 0, NULL));
}

static int in_send(void)
{
	static __thread char bytes[4096];
	int first = descriptor < 0;
	int full = socket_with_timeout(SOCK_STREAM);
	while (first && send(full, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
		;
	return result(send(full, bytes, sizeof bytes, 0));
}

static int listening_descriptor(void)
{
	struct sockaddr_un any = {.sun_family = AF_UNIX};
	int listening = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(listening, (struct sockaddr *)&any, sizeof any.sun_family);
	listen(listening, 0);
	return listening;
}

static int in_accept(void)
{
	if (descriptor < 0) {
		struct timeval room = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
		descriptor = listening_descriptor();
		if (timeout_ms >= 0)
			setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &room, sizeof room);
	}
	return result(accept(descriptor, NULL, NULL));
}

static int in_connect(void)
{
	static __thread struct sockaddr_un to;
	static __thread socklen_t length = sizeof to;
	if (descriptor < 0) {
		struct timeval room = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
		int listening = listening_descriptor();
		getsockname(listening, (struct sockaddr *)&to, &length);
		/* As many as may wait to be accepted. */
		for (int tries = 0; tries < 4; tries++)
			connect(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), (struct sockaddr *)&to, length);
		descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
		if (timeout_ms >= 0)
			setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &room, sizeof room);
	}
	return result(connect(descriptor, (struct sockaddr *)&to, length));
}

/* -- read and write, endless whatever the timeout */

static int read_from(int made)
{
	static __thread char bytes[4096];
	if (descriptor < 0)
		descriptor = made;
	return result(read(descriptor, bytes, sizeof bytes));
}

static int in_read(void)
{
	if (descriptor < 0 && pipe(ends))
		return errno;
	return read_from(ends[0]);
}

static int in_read_socket(void)
{
	if (descriptor < 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		return errno;
	return read_from(ends[0]);
}

static int in_read_eventfd(void) { return read_from(descriptor < 0 ? eventfd(0, 0) : descriptor); }

static int in_read_timerfd(void)
{
	return read_from(descriptor < 0 ? timerfd_create(CLOCK_MONOTONIC, 0) : descriptor);
}

static int in_read_signalfd(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return read_from(descriptor < 0 ? signalfd(-1, &set, 0) : descriptor);
}

static int in_read_inotify(void) { return read_from(descriptor < 0 ? inotify_init() : descriptor); }

static int in_read_terminal(void)
{
	return read_from(descriptor < 0 ? posix_openpt(O_RDWR | O_NOCTTY) : descriptor);
}

static int in_write(void)
{
	static __thread char bytes[4096];
	if (descriptor < 0) {
		if (pipe(ends))
			return errno;
		descriptor = ends[1];
		fcntl(descriptor, F_SETFL, O_NONBLOCK);
		while (write(descriptor, bytes, sizeof bytes) > 0)
			;
		fcntl(descriptor, F_SETFL, 0);
	}
	return result(write(descriptor, bytes, sizeof bytes));
}

static int in_splice(void)
{
	static __thread int others[2];
	if (descriptor < 0) {
		if (pipe(ends) || pipe(others))
			return errno;
		descriptor = ends[0];
	}
	return result(splice(descriptor, NULL, others[1], NULL, 1, 0));
}

/* A fifo that nobody opens at its other end. */
static int in_open(void)
{
	char name[64];
	if (descriptor < 0) {
		snprintf(name, sizeof name, "/tmp/dirtytop-test-%d-%ld", getpid(), syscall(SYS_gettid));
		mkfifo(name, 0600);
		descriptor = open(name, O_PATH);
		unlink(name);
	}
	snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
	return result(open(name, O_RDONLY));
}

/* -- locks that somebody else has */

static void make_lock_file(void)
{
	FILE *file = tmpfile();
	char name[64];
	snprintf(name, sizeof name, "/proc/self/fd/%d", fileno(file));
	ends[0] = fileno(file);
	descriptor = open(name, O_RDWR);
}

static int in_flock(void)
{
	if (descriptor < 0) {
		make_lock_file();
		flock(ends[0], LOCK_EX);
	}
	return result(flock(descriptor, LOCK_EX));
}

static int in_setlkw(void)
{
	struct flock whole = {.l_type = F_WRLCK};
	if (descriptor < 0) {
		make_lock_file();
		fcntl(ends[0], F_OFD_SETLK, &whole);
	}
	return result(fcntl(descriptor, F_SETLKW, &whole));
}
