/* Its main thread ends (pthread_exit), and another one works on: it fills a page, and answers each line. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *work(void *leader)
{
	char line[64], *memory;
	pthread_join(*(pthread_t *)leader, NULL);
	memory = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(memory, 1, 64 * 4096);
	printf("%p\n", (void *)memory);
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		memory[0]++;
		memory[5 * 4096]++;
		puts("written");
		fflush(stdout);
	}
	_exit(0);
}

int main(void)
{
	static pthread_t leader;
	pthread_t worker;
	leader = pthread_self();
	pthread_create(&worker, NULL, work, &leader);
	pthread_exit(NULL);
}
