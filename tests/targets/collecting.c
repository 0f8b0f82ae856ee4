/* Asks for its own soft-dirty bits and clears them, as the Boehm collector does where it is told to (SOFT_VDB):
 * each line that it reads is a collection, after which it writes every third page and answers how many pages
 * were dirty since the last one. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGES = 300, PAGE = 4096 };

static int collect(int pagemap, const char *memory)
{
	static uint64_t entries[PAGES];
	int dirty = 0, clear_refs = open("/proc/self/clear_refs", O_WRONLY);

	if (pread(pagemap, entries, sizeof entries, (uintptr_t)memory / PAGE * 8) != sizeof entries)
		exit(1);
	for (int at = 0; at < PAGES; at++)
		dirty += entries[at] >> 55 & 1;
	if (write(clear_refs, "4\n", 2) != 2)
		exit(1);
	close(clear_refs);
	return dirty;
}

int main(void)
{
	char line[64];
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(memory, 1, PAGES * PAGE);
	printf("%p\n", (void *)memory);
	fflush(stdout);
	for (int number = 0; fgets(line, sizeof line, stdin); number++) {
		int dirty = collect(pagemap, memory);

		for (int at = number % 3; at < PAGES; at += 3)
			memory[at * PAGE]++;
		printf("%d\n", dirty);
		fflush(stdout);
	}
	return 0;
}
