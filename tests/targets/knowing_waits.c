/* Targets of the harm test whose threads wait in system calls, all of them, or in some special way. */
#include "knowing/waiters.h"

#include "knowing/knowing.h"

#include <glob.h>
#include <sys/sendfile.h>

enum { LONG_MS = 600000 };

static void tell_waiters(void)
{
	for (int at = 0; at < WAITERS; at++)
		fprintf(output, "EINTR of %s: %ld\nends of %s: %ld, error %d\n", waiters[at].name, waiters[at].eintr,
			waiters[at].name, waiters[at].done, waiters[at].error);
}

static void wait_with_timeout(void)
{
	timeout_ms = LONG_MS;
	start_waiting();
}

/* -- calls that have done a part of their work when they are stopped */

static char bytes[1 << 20];

static char room[1 << 20]; /* whoever reads into it: nobody looks at it */

static int empty(int from)
{

	fcntl(from, F_SETFL, O_NONBLOCK);
	while (read(from, room, sizeof room) > 0)
		;
	fcntl(from, F_SETFL, 0);
	return 0;
}

/* What it returns: less than it was asked for, or an error. Neither may be. */
static int whole(long moved, long asked, int from)
{
	int error = errno;

	if (moved == asked)
		return 0;
	empty(from);
	return moved < 0 ? error : -1;
}

static int in_long_write(void)
{
	if (descriptor < 0 && pipe(ends))
		return errno;
	descriptor = ends[1];
	return whole(write(ends[1], bytes, sizeof bytes), sizeof bytes, ends[0]);
}

static int in_long_send(void)
{
	if (descriptor < 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		return errno;
	descriptor = ends[1];
	return whole(send(ends[1], bytes, sizeof bytes, 0), sizeof bytes, ends[0]);
}

static int in_whole_recv(void)
{
	char room[64];

	if (descriptor < 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		return errno;
	descriptor = ends[1];
	if (send(ends[1], bytes, 16, 0) != 16)
		return errno;
	return whole(recv(ends[0], room, sizeof room, MSG_WAITALL), sizeof room, ends[0]);
}

static int in_long_sendfile(void)
{
	static __thread int file;
	off_t from = 0;

	if (descriptor < 0) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
			return errno;
		file = memfd_create("sent", 0);
		if (write(file, bytes, sizeof bytes) != sizeof bytes)
			return errno;
	}
	descriptor = ends[1];
	return whole(sendfile(ends[1], file, &from, sizeof bytes), sizeof bytes, ends[0]);
}

static struct {
	const char *name;
	int (*transfer)(void);
	volatile long eintr, part, whole;
} transfers[] = {
	{"write of much", in_long_write},
	{"send of much", in_long_send},
	{"recv of all", in_whole_recv},
	{"sendfile of much", in_long_sendfile},
};
enum { TRANSFERS = sizeof transfers / sizeof *transfers };

static void *transfer(void *argument)
{
	for (long at = (long)argument;;) {
		int outcome = transfers[at].transfer();

		if (outcome < 0)
			transfers[at].part++;
		else if (outcome)
			transfers[at].eintr++;
		else
			transfers[at].whole++;
	}
	return NULL;
}

static void have_transfers(void)
{
	memset(room, 1, sizeof room);
	for (long at = 0; at < TRANSFERS; at++) {
		pthread_t thread;

		pthread_create(&thread, NULL, transfer, (void *)at);
	}
}

static void tell_transfers(void)
{
	for (int at = 0; at < TRANSFERS; at++)
		fprintf(output, "EINTR of %s: %ld\nparts of %s: %ld\nends of %s: %ld\n", transfers[at].name,
			transfers[at].eintr, transfers[at].name, transfers[at].part, transfers[at].name,
			transfers[at].whole);
}

/* -- many threads */

static void *wait_in_futex(void *unused)
{
	static int word;

	for (;;)
		syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	return unused;
}

static void have_threads(void)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 1 << 17);
	for (int at = 0; at < 1000; at++)
		if ((errno = pthread_create(&thread, &attributes, wait_in_futex, NULL)))
			cannot("start so many threads");
}

/* -- asynchronous reading */

static struct {
	int descriptor;
	struct io_uring_params parameters;
	unsigned char *submissions, *completions;
	struct io_uring_sqe *entries;
	unsigned completed, wrong;
} ring;

static unsigned *of_ring(unsigned char *memory, unsigned offset) { return (unsigned *)(memory + offset); }

/* Something that the kernel is to do, which it has then been asked for. */
static void submit(struct io_uring_sqe entry)
{
	struct io_sqring_offsets *at = &ring.parameters.sq_off;
	unsigned tail = *of_ring(ring.submissions, at->tail);
	unsigned place = tail & *of_ring(ring.submissions, at->ring_mask);

	ring.entries[place] = entry;
	of_ring(ring.submissions, at->array)[place] = place;
	__atomic_store_n(of_ring(ring.submissions, at->tail), tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring.descriptor, 1, 0, 0, NULL, 0) != 1)
		ring.wrong++;
}

/* How many completions there are; each but those of no-operations is wrong, as nothing else may end. */
static void complete(void)
{
	struct io_cqring_offsets *at = &ring.parameters.cq_off;
	unsigned head = *of_ring(ring.completions, at->head);
	struct io_uring_cqe *done = (struct io_uring_cqe *)(ring.completions + at->cqes);

	while (head != __atomic_load_n(of_ring(ring.completions, at->tail), __ATOMIC_ACQUIRE)) {
		struct io_uring_cqe *one = &done[head++ & *of_ring(ring.completions, at->ring_mask)];

		ring.wrong += one->user_data != IORING_OP_NOP || one->res;
		ring.completed++;
	}
	__atomic_store_n(of_ring(ring.completions, at->head), head, __ATOMIC_RELEASE);
}

/* A thread of the kernel's for a ring (iou-wrk-PID, iou-sqp-PID) is named as the program until it first runs. */
static void wait_for_kernels_thread(void)
{
	for (int tries = 0; tries < 10000; tries++) {
		char name[16] = "";
		glob_t found;

		glob("/proc/self/task/*/comm", 0, NULL, &found);
		for (size_t at = 0; at < found.gl_pathc && strncmp(name, "iou-", 4); at++) {
			FILE *file = fopen(found.gl_pathv[at], "r");

			if (file && !fgets(name, sizeof name, file))
				*name = 0;
			if (file)
				fclose(file);
		}
		globfree(&found);
		if (!strncmp(name, "iou-", 4))
			return;
		usleep(1000);
	}
	cannot("have a thread of the kernel's");
}

static void make_ring(void)
{
	struct io_uring_params *parameters = &ring.parameters;
	size_t size;

	ring.descriptor = (int)require(syscall(SYS_io_uring_setup, 16, parameters), "make an io_uring");
	size = parameters->sq_off.array + parameters->sq_entries * sizeof(unsigned);
	ring.submissions = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.descriptor, IORING_OFF_SQ_RING);
	size = parameters->cq_off.cqes + parameters->cq_entries * sizeof(struct io_uring_cqe);
	ring.completions = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.descriptor, IORING_OFF_CQ_RING);
	size = parameters->sq_entries * sizeof(struct io_uring_sqe);
	ring.entries = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.descriptor, IORING_OFF_SQES);
}

/* A ring with a read that waits, one that a worker of the kernel's waits for, and a timeout. */
static void have_ring(void)
{
	static struct __kernel_timespec later = {.tv_sec = 1000};
	static char room[64];
	int ways[2];

	make_ring();
	require(pipe(ways), "make a pipe");
	submit((struct io_uring_sqe){.opcode = IORING_OP_READ, .fd = ways[0], .addr = (uintptr_t)room, .len = 1});
	submit((struct io_uring_sqe){.opcode = IORING_OP_TIMEOUT, .addr = (uintptr_t)&later, .len = 1});
	if (!strcmp(kind->name, "worked")) {
		submit((struct io_uring_sqe){.opcode = IORING_OP_READ, .fd = eventfd(0, 0), .addr = (uintptr_t)room,
					     .len = 8, .flags = IOSQE_ASYNC});
		wait_for_kernels_thread();
	}
}

static void have_polled_ring(void)
{
	ring.parameters.flags = IORING_SETUP_SQPOLL;
	ring.parameters.sq_thread_idle = 1000000;
	make_ring();
	wait_for_kernels_thread();
}

static void tell_ring(void)
{
	unsigned before = ring.completed;

	if (!(ring.parameters.flags & IORING_SETUP_SQPOLL)) {
		submit((struct io_uring_sqe){.opcode = IORING_OP_NOP, .user_data = IORING_OP_NOP});
		complete();
		say("no-operations completed", "%u", ring.completed - before);
	}
	say("completions that should not be", "%u", ring.wrong);
}

static aio_context_t context;

/* A context with something to wait for, which never comes, and a thread in io_getevents. */
static void *wait_for_events(void *unused)
{
	struct io_event event;

	for (;;)
		waiters[0].done += syscall(SYS_io_getevents, context, 1L, 1L, &event, NULL) != -1;
	return unused;
}

static void have_aio(void)
{
	int ways[2];
	struct iocb poll = {.aio_lio_opcode = IOCB_CMD_POLL, .aio_buf = POLLIN}, *polls[] = {&poll};
	pthread_t thread;

	require(syscall(SYS_io_setup, 8, &context), "make an AIO context");
	require(pipe(ways), "make a pipe");
	poll.aio_fildes = ways[0];
	require(syscall(SYS_io_submit, context, 1L, polls), "submit to AIO");
	pthread_create(&thread, NULL, wait_for_events, NULL);
}

static void tell_aio(void) { say("events that should not be", "%ld", waiters[0].done); }

/* -- waiting for a child that was made by vfork, and shares all its memory: it cannot be interrupted */

static void wait_in_vfork(void)
{
	serve_beside();
	for (;;)
		if (!vfork()) {
			syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
		}
}

static const struct kind kinds[] = {
	{"waiting", start_waiting, tell_waiters},
	{"timing", wait_with_timeout, tell_waiters},
	{"transferring", have_transfers, tell_transfers},
	{"thousand", have_threads},
	{"ring", have_ring, tell_ring},
	{"worked", have_ring, tell_ring},
	{"polled", have_polled_ring, tell_ring},
	{"aio", have_aio, tell_aio},
	{"vfork", wait_in_vfork},
};

int main(int argc, char **argv) { return become(kinds, sizeof kinds / sizeof *kinds, argc, argv); }
