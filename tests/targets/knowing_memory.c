/* Targets of the harm test that have memory of some special kind. */
#include "knowing/knowing.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <setjmp.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

enum { MIB = 1 << 20, HUGE = 2 * MIB };

static const struct kind only_answering = {"child"};
static struct child child;

static void tell_of_child(void) { tell_child("child", &child); }

/* A line of one of its own files in /proc, as a number; 0 if there is none. */
static long number_in(const char *file, const char *key)
{
	char line[256];
	long number = 0;
	FILE *lines = fopen(file, "r");

	while (lines && fgets(line, sizeof line, lines))
		if (!strncmp(line, key, strlen(key)))
			number = atol(line + strlen(key));
	if (lines)
		fclose(lines);
	return number;
}

/* Pages are given time to become what they are to be. */
static void wait_for(const char *file, const char *key, long least, const char *what)
{
	for (int tenths = 0; tenths < 300 && number_in(file, key) < least; tenths++)
		usleep(100000);
	errno = ETIMEDOUT;
	if (number_in(file, key) < least)
		cannot(what);
}

/* -- shared with children */

/* A child and a child of that share its memory until somebody writes to it; some of it was written already. */
static void have_tree(void)
{
	unsigned char *memory = map_filled(8 * MIB, 1, MAP_PRIVATE);

	watch_over("memory that is shared with children", memory, 8 * MIB);
	child = answering_child(&only_answering);
	for (int at = 0; at < 2; at++)
		if (idle_child() && at == 0)
			memset(memory + 6 * MIB, 9, MIB);
}

/* Pages of equal content, which the kernel keeps once. */
static void have_merged(void)
{
	unsigned char *memory = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	errno = EOPNOTSUPP;
	if (number_in("/sys/kernel/mm/ksm/run", "") != 1)
		cannot("have pages merged");
	require(madvise(memory, 4 * MIB, MADV_MERGEABLE), "have pages merged");
	for (int at = 0; at < 4 * MIB; at += PAGE)
		memset(memory + at, at / PAGE % 2 + 1, PAGE);
	wait_for("/proc/self/ksm_merging_pages", "", 1000, "have pages merged");
	watch_over("merged memory", memory, 4 * MIB);
}

static unsigned char *map_huge(void)
{
	unsigned char *room = mmap(NULL, 5 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *memory = room + HUGE - (uintptr_t)room % HUGE;

	require(madvise(memory, 4 * HUGE, MADV_HUGEPAGE), "have huge pages");
	memset(memory, 5, 4 * HUGE);
	return memory;
}

/* Transparent huge pages, shared with a child. */
static void have_huge(void)
{
	watch_over("huge pages", map_huge(), 4 * HUGE);
	errno = ENOMEM;
	if (!number_in("/proc/self/smaps_rollup", "AnonHugePages:"))
		cannot("get huge pages");
	child = answering_child(&only_answering);
}

/* Pages of hugetlbfs, private and shared ones. */
static void have_hugetlb(void)
{
	watch_over("private huge pages", map_filled(HUGE, 1, MAP_PRIVATE | MAP_HUGETLB), HUGE);
	watch_over("shared huge pages", map_filled(HUGE, 2, MAP_SHARED | MAP_HUGETLB), HUGE);
}

/* Half of it is on the swap device. */
static void have_swapped(void)
{
	unsigned char *memory = map_filled(8 * MIB, 3, MAP_PRIVATE);

	watch_over("memory that is not swapped out", memory, 4 * MIB);
	errno = EOPNOTSUPP;
	if (!number_in("/proc/meminfo", "SwapFree:"))
		cannot("swap memory out");
	require(madvise(memory + 4 * MIB, 4 * MIB, MADV_PAGEOUT), "swap memory out");
	wait_for("/proc/self/smaps_rollup", "Swap:", 3 * 1024, "swap memory out");
}

/* -- its mappings change while we work */

static volatile unsigned long remapped, not_remapped;

static void *grow_and_shrink(void *unused)
{
	size_t size = PAGE;
	unsigned char *memory = map_filled(PAGE, 1, MAP_PRIVATE);

	for (;;) {
		size_t next = size >= 4 * MIB ? PAGE : size + PAGE;
		unsigned char *moved = mremap(memory, size, next, MREMAP_MAYMOVE);

		if (moved == MAP_FAILED) {
			not_remapped++;
			continue;
		}
		memory = moved;
		size = next;
		memory[size - 1] = 1;
		remapped++;
	}
	return unused;
}

static void have_growing(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, grow_and_shrink, NULL);
}

static void tell_growing(void)
{
	unsigned long before = remapped;

	while (remapped < before + 100)
		sched_yield();
	say("mremap refused", "%lu", not_remapped);
}

/* Maps as many pieces as it may have, each one unlike its neighbours. */
static void have_many_mappings(void)
{
	long most = number_in("/proc/sys/vm/max_map_count", ""), there = 0;
	char line[256];
	FILE *maps;
	unsigned char *memory = mmap(NULL, most * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (long at = 0; at < most; at += 2)
		if (mprotect(memory + at * PAGE, PAGE, PROT_READ | PROT_WRITE))
			break;
	for (long at = 0; at < most; at += 64)
		if (at % 2 == 0)
			memory[at * PAGE] = 1;
	/* One that is left for what the C library needs when it answers. */
	munmap(memory, 8 * PAGE);
	maps = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, maps))
		there += strchr(line, '\n') != NULL;
	fclose(maps);
	errno = ERANGE;
	if (there < most - 16)
		cannot("have so many mappings");
}

/* -- shared memory, files, holes */

static void have_shared(void)
{
	int sealed = require(memfd_create("dirtytop \r7ff test", MFD_ALLOW_SEALING | MFD_CLOEXEC), "make a memfd");
	int holes = memfd_create("holes", MFD_CLOEXEC), id = shmget(IPC_PRIVATE, MIB, IPC_CREAT | 0600);
	unsigned char *memory, *of_file;
	FILE *file = tmpfile();

	require(ftruncate(sealed, MIB) | ftruncate(holes, 16 * MIB), "size a memfd");
	memory = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, sealed, 0);
	memset(memory, 4, MIB);
	fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	watch_over("sealed memfd", memory, MIB);
	/* Eight pages of content, and all the rest holes, in memory and in the file. */
	memory = mmap(NULL, 16 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, holes, 0);
	for (int at = 0; at < 16; at += 2)
		memset(memory + at * MIB, at, PAGE);
	watch_over("page between holes", memory + 4 * MIB, PAGE);
	memory = mmap(NULL, 16 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(memory + 8 * MIB, 7, PAGE);
	memory = mmap(NULL, 16 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, holes, 0);
	memset(memory + 2 * MIB, 8, PAGE);
	require(id, "make shared memory of System V");
	memory = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	memset(memory, 6, MIB);
	watch_over("shared memory of System V", memory, MIB);
	if (!file || ftruncate(fileno(file), MIB))
		cannot("make a file");
	of_file = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
	memset(of_file, 2, MIB / 2);
	of_file = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, fileno(file), 0);
	memset(of_file + PAGE, 3, PAGE);
	watch_over("changed page of a file", of_file + PAGE, PAGE);
	child = answering_child(&only_answering);
}

/* -- a userfaultfd of its own, in parent and child */

static struct {
	int descriptor;
	unsigned char *missing, *protected;
	volatile int handled;
	int touched;
} own;

static void *resolve_faults(void *unused)
{
	for (;;) {
		struct uffd_msg message;
		uint64_t page;

		if (read(own.descriptor, &message, sizeof message) != sizeof message)
			continue;
		page = message.arg.pagefault.address & ~(uint64_t)(PAGE - 1);
		own.handled++; /* before whoever waits can look at it */
		if (message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
			struct uffdio_writeprotect allow = {{page, PAGE}, 0};

			ioctl(own.descriptor, UFFDIO_WRITEPROTECT, &allow);
		} else {
			struct uffdio_zeropage zero = {{page, PAGE}, 0, 0};

			ioctl(own.descriptor, UFFDIO_ZEROPAGE, &zero);
		}
	}
	return unused;
}

static void have_own_userfaultfd(void)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	struct uffdio_writeprotect protect = {.mode = UFFDIO_WRITEPROTECT_MODE_WP};
	pthread_t thread;

	own.descriptor = (int)require(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY), "make a userfaultfd");
	require(ioctl(own.descriptor, UFFDIO_API, &api), "use a userfaultfd");
	own.missing = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (uintptr_t)own.missing;
	range.range.len = MIB;
	require(ioctl(own.descriptor, UFFDIO_REGISTER, &range), "watch memory");
	own.protected = map_filled(MIB, 1, MAP_PRIVATE);
	range.range.start = protect.range.start = (uintptr_t)own.protected;
	protect.range.len = MIB;
	range.mode = UFFDIO_REGISTER_MODE_WP;
	require(ioctl(own.descriptor, UFFDIO_REGISTER, &range), "watch memory");
	require(ioctl(own.descriptor, UFFDIO_WRITEPROTECT, &protect), "protect memory");
	pthread_create(&thread, NULL, resolve_faults, NULL);
}

/* Touches one more page of each kind: each must be one more fault for it to handle. */
static void tell_own_userfaultfd(void)
{
	int at = own.touched++ * PAGE;

	own.missing[at] = 1;
	say("missing pages that were handled otherwise", "%d", own.handled - 2 * own.touched + 1);
	own.protected[at] = 2;
	say("protected pages that were handled otherwise", "%d", own.handled - 2 * own.touched);
}

static const struct kind with_userfaultfd = {"child", have_own_userfaultfd, tell_own_userfaultfd};

static void have_userfaultfds(void)
{
	/* First the child: the number of its descriptor is one that is free here. */
	child = answering_child(&with_userfaultfd);
	have_own_userfaultfd();
}

static void tell_userfaultfds(void)
{
	tell_own_userfaultfd();
	tell_of_child();
}

/* -- locked, advised, guarded, deep */

static void have_locked(void)
{
	unsigned char *holes;

	watch_over("locked memory", map_filled(4 * MIB, 2, MAP_PRIVATE), 4 * MIB);
	require(mlockall(MCL_CURRENT), "lock memory");
	holes = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	require(mlock2(holes, 8 * MIB, MLOCK_ONFAULT), "lock memory");
	holes[4 * MIB] = 1;
}

static unsigned char *guarded;
static sigjmp_buf past_fault;

static void leave_fault(int number) { siglongjmp(past_fault, number); }

static void have_advised(void)
{
	static const int advice[] = {MADV_DONTFORK, MADV_WIPEONFORK, MADV_DONTDUMP,   MADV_NOHUGEPAGE,
				     MADV_SEQUENTIAL, MADV_RANDOM,     MADV_FREE};
	unsigned char *memory;

	for (size_t at = 0; at < sizeof advice / sizeof *advice; at++) {
		memory = map_filled(MIB / 4, (int)at + 1, MAP_PRIVATE);
		madvise(memory, MIB / 4, advice[at]);
	}
	/* The kernel does what MADV_FREE says later, and this at once. */
	madvise(memory, PAGE, MADV_COLD);
	memory = map_filled(MIB / 4, 1, MAP_PRIVATE);
	mprotect(memory, MIB / 8, PROT_NONE);
	mprotect(memory + MIB / 8, MIB / 16, PROT_READ);
	watch_over("what is only to be read", memory + MIB / 8, MIB / 16);
	memory = mmap(NULL, MIB / 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
	memset(memory + MIB / 8, 1, MIB / 8);
	/* Read and never written: the zero page, which must not be made a page of its own. */
	memory = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	watch_over("zero pages", memory, MIB);
	guarded = map_filled(16 * PAGE, 1, MAP_PRIVATE);
	if (madvise(guarded + 4 * PAGE, 4 * PAGE, MADV_GUARD_INSTALL))
		guarded = NULL;
	signal(SIGSEGV, leave_fault);
	child = answering_child(&only_answering);
}

static void tell_advised(void)
{
	if (guarded && !sigsetjmp(past_fault, 1)) {
		say("guarded page", "%d", ((volatile unsigned char *)guarded)[5 * PAGE]);
	} else {
		say("guarded page", "%s", guarded ? "is guarded" : "there is none");
	}
	tell_of_child();
}

static void go_down(int kibibytes, unsigned char *top)
{
	volatile unsigned char frame[1024];

	memset((void *)frame, kibibytes, sizeof frame);
	if (kibibytes) {
		go_down(kibibytes - 1, top ? top : (unsigned char *)frame);
		frame[0]++;
	} else {
		watch_over("deep stack", top - 5 * MIB, 5 * MIB - 64 * PAGE);
		puts("ready");
		fflush(stdout);
		serve(0);
	}
}

static void go_deep(void)
{
	go_down(6 * 1024, NULL);
	_exit(0);
}

static const struct kind kinds[] = {
	{"tree", have_tree, tell_of_child},
	{"merged", have_merged},
	{"huge", have_huge, tell_of_child},
	{"hugetlb", have_hugetlb},
	{"swapped", have_swapped},
	{"growing", have_growing, tell_growing},
	{"crowded", have_many_mappings},
	{"sharing", have_shared, tell_of_child},
	{"faulting", have_userfaultfds, tell_userfaultfds},
	{"locked", have_locked},
	{"advised", have_advised, tell_advised},
	{"deep", go_deep},
};

int main(int argc, char **argv) { return become(kinds, sizeof kinds / sizeof *kinds, argc, argv); }
