/* Grows a mapping by mremap, page by page to 64 MiB, over and over; ends with 1 when the kernel refuses. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int main(void)
{
	const size_t page = 4096, most = 64 << 20;
	size_t size = page;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	puts("ready");
	fflush(stdout);
	for (;;) {
		size_t next = size + page > most ? page : size + page;
		char *moved = mremap(memory, size, next, MREMAP_MAYMOVE);
		if (moved == MAP_FAILED) {
			fprintf(stderr, "mremap from %zu to %zu: %s\n", size, next, strerror(errno));
			return 1;
		}
		memory = moved;
		size = next;
		memory[size - 1] = 1;
	}
}
