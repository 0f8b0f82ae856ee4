/* Targets of the harm test that have descriptors, locks and names of some special kind. */
#include "knowing/knowing.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

/* A file that has no name any more, with some content. */
static int nameless_file(void)
{
	static const char content[3 * PAGE] = "content";
	char name[] = "/tmp/dirtytop-test-XXXXXX";
	int file = (int)require(mkstemp(name), "make a file");

	unlink(name);
	require(write(file, content, sizeof content), "write to a file");
	return file;
}

/* -- a descriptor of each kind, some of them with something in it */

static int with_bytes[4], with_count;

static void have_descriptors(void)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 7};
	sigset_t set;
	int file = nameless_file(), polling, directory = open("/proc/self", O_RDONLY | O_DIRECTORY);

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	require(pipe(with_bytes) | socketpair(AF_UNIX, SOCK_STREAM, 0, with_bytes + 2), "make pipes and sockets");
	require(write(with_bytes[1], "pipe", 4) + write(with_bytes[3], "sockets", 7), "write to them");
	with_count = (int)require(eventfd(7, EFD_NONBLOCK), "make an eventfd");
	signalfd(-1, &set, SFD_CLOEXEC);
	raise(SIGUSR1);
	inotify_add_watch(inotify_init1(IN_NONBLOCK), "/tmp/..", IN_DELETE_SELF);
	polling = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(polling, EPOLL_CTL_ADD, with_bytes[2], &event);
	timerfd_create(CLOCK_BOOTTIME, 0);
	syscall(SYS_pidfd_open, getpid(), 0);
	open("/", O_PATH | O_CLOEXEC);
	openat(directory, "status", O_RDONLY);
	lseek(file, 100, SEEK_SET);
	fcntl(file, F_SETFL, O_APPEND | O_ASYNC);
	fcntl(file, F_SETOWN, getpid());
	fcntl(file, F_SETSIG, SIGRTMIN);
	dup2(file, 900);
	memfd_create("of its own", MFD_CLOEXEC);
	posix_openpt(O_RDWR | O_NOCTTY);
}

static void tell_bytes(void)
{
	int waiting[2] = {0};
	uint64_t count = 0;

	ioctl(with_bytes[0], FIONREAD, &waiting[0]);
	ioctl(with_bytes[2], FIONREAD, &waiting[1]);
	say("bytes in a pipe and a socket", "%d %d", waiting[0], waiting[1]);
	if (read(with_count, &count, sizeof count) != sizeof count || write(with_count, &count, sizeof count) < 0)
		say("count", "lost");
	say("count", "%lu", (unsigned long)count);
}

/* As many as it may have: there is no room for one of ours. */
static void fill_descriptors(void)
{
	struct rlimit limit = {20, 20};

	require(setrlimit(RLIMIT_NOFILE, &limit), "limit its descriptors");
	while (dup(0) >= 0)
		;
}

/* -- locks of each kind, and a lease: whoever opens that file has it taken back */

static void have_locks(void)
{
	static char name[] = "/tmp/dirtytop-test-XXXXXX";
	int locked = nameless_file(), leased = (int)require(mkstemp(name), "make a file");
	struct flock part = {.l_type = F_WRLCK, .l_start = 10, .l_len = 100};
	unsigned char *memory;
	struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};

	sigaction(SIGIO, &action, NULL);
	flock(locked, LOCK_EX);
	fcntl(locked, F_SETLK, &part);
	part.l_start = 1000;
	fcntl(locked, F_OFD_SETLK, &part);
	require(ftruncate(leased, 4 * PAGE), "size a file");
	memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, leased, 0);
	memset(memory, 1, 2 * PAGE);
	memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, leased, 0);
	memset(memory + PAGE, 2, PAGE);
	unlink(name);
	require(fcntl(leased, F_SETLEASE, F_WRLCK), "have a lease");
}

/* -- it is told when its files are opened or read: those that it maps, and its own program */

static int told, events;

static void be_told(void)
{
	char place[64], name[] = "/tmp/dirtytop-test-XXXXXX";
	int mapped = (int)require(mkstemp(name), "make a file");
	unsigned char *memory;

	require(ftruncate(mapped, 4 * PAGE), "size a file");
	memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);
	memset(memory, 1, 2 * PAGE);
	memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, mapped, 0);
	memset(memory, 2, PAGE);
	told = (int)require(inotify_init1(IN_NONBLOCK | IN_CLOEXEC), "be told of files");
	snprintf(place, sizeof place, "/proc/self/fd/%d", mapped);
	require(inotify_add_watch(told, place, IN_ALL_EVENTS), "be told of a file");
	require(inotify_add_watch(told, "/proc/self/exe", IN_ALL_EVENTS), "be told of a file");
	unlink(name);
	while (read(told, place, sizeof place) > 0)
		;
}

static void tell_told(void)
{
	char room[PAGE];
	long got;

	while ((got = read(told, room, sizeof room)) > 0)
		for (char *at = room; at < room + got; at += sizeof(struct inotify_event))
			events |= (int)((struct inotify_event *)at)->mask;
	say("what was done with its files", "%x", events);
}

/* -- names that look like something else */

static const char odd[] = "x\r7ff000000000-7ff000001000 rw-p 00000000 00:00 0 [heap] (deleted)";

static void map_under(const char *name)
{
	char directory[] = "/tmp/dirtytop-test-XXXXXX", path[PAGE];
	unsigned char *memory;
	int file;

	snprintf(path, sizeof path, "%s/%s", mkdtemp(directory), name);
	file = (int)require(open(path, O_RDWR | O_CREAT, 0600), "make a file");
	require(ftruncate(file, 4 * PAGE), "size a file");
	memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	memset(memory, 1, PAGE);
	unlink(path);
	rmdir(directory);
}

/* Its program has such a name, and mappings and threads of it have. */
static void have_odd_names(void)
{
	static char *arguments[] = {(char *)odd, (char *)"named", NULL}, *environment[] = {(char *)"NAMED=1", NULL};
	char room[1 << 16];
	long got;

	if (!getenv("NAMED")) {
		int program = (int)require(memfd_create(odd, 0), "make a memfd");
		int own = open("/proc/self/exe", O_RDONLY);

		while ((got = read(own, room, sizeof room)) > 0)
			require(write(program, room, got), "copy its program");
		close(own);
		fexecve(program, arguments, environment);
		cannot("start under another name");
	}
	prctl(PR_SET_NAME, ") S 1 \n7f00");
	map_under("a\n7ff000000000-7ff000001000 rw-p 00000000 00:00 0 [stack]");
	map_under(odd);
	map_under("\xff\xfe not UTF-8 \033[31m");
}

static const struct kind kinds[] = {
	{"descriptors", have_descriptors, tell_bytes},
	{"full", fill_descriptors},
	{"locking", have_locks},
	{"told", be_told, tell_told},
	{"named", have_odd_names},
};

int main(int argc, char **argv) { return become(kinds, sizeof kinds / sizeof *kinds, argc, argv); }
