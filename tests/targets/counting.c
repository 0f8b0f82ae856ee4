/* Counts as fast as it can, in memory whose address it says, and makes no system call. */
#include <stdio.h>
#include <sys/mman.h>

int main(void)
{
	volatile unsigned long *count =
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	printf("%p\n", (void *)count);
	fflush(stdout);
	for (;;)
		(*count)++;
}
