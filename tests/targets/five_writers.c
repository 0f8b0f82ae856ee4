/* Writes 100, 200, 300, 400 and 500 pages by five functions, of which each has a mapping of its own, whenever it is
 * told to by a line on its input; answers with a line. With an argument it writes again and again, so many milliseconds apart. "read" has the kernel write the first mapping, by read(2);
 * "thread" has a thread of its own write the last one; "child" has a child do so. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L
#define WRITER(number)                                                                        \
    __attribute__((noinline, noclone)) static void write_##number##_hundred(void)             \
    {                                                                                         \
        for (long page = 0; page < number * 100; page++)                                      \
            ((volatile char *)memory[number - 1])[page * PAGE]++;                             \
    }

static char *memory[5];

WRITER(1)
WRITER(2)
WRITER(3)
WRITER(4)
WRITER(5)

__attribute__((noinline)) static void read_into_the_first(void)
{
    int zero = open("/dev/zero", O_RDONLY);
    if (read(zero, memory[0], 100 * PAGE) != 100 * PAGE)
        exit(3);
    close(zero);
}

static void *write_in_a_thread(void *unused)
{
    prctl(PR_SET_NAME, "worker");
    write_5_hundred();
    return unused;
}

static void write_all(void)
{
    write_1_hundred();
    write_2_hundred();
    write_3_hundred();
    write_4_hundred();
    write_5_hundred();
}

int main(int count, char **arguments)
{
    char line[64];
    for (long at = 0; at < 5; at++) {
        long size = (at + 1) * 100 * PAGE;
        /* Apart from each other, so that each is a mapping of its own. */
        char *place = mmap(NULL, size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memory[at] = place + PAGE;
        mprotect(memory[at], size, PROT_READ | PROT_WRITE);
        madvise(memory[at], size, MADV_NOHUGEPAGE);
        memset(memory[at], 1, size);
    }
    puts("ready");
    fflush(stdout);
    for (int pause_ms = count > 1 ? atoi(arguments[1]) : 0; pause_ms; usleep(pause_ms * 1000))
        write_all();
    while (fgets(line, sizeof line, stdin)) {
        if (!strcmp(line, "read\n")) {
            read_into_the_first();
        } else if (!strcmp(line, "thread\n")) {
            pthread_t thread;
            pthread_create(&thread, NULL, write_in_a_thread, NULL);
            pthread_join(thread, NULL);
        } else if (!strcmp(line, "child\n")) {
            pid_t child = fork();
            if (!child) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                write_4_hundred();
                puts("done");
                fflush(stdout);
                pause();
            }
            continue;
        } else {
            write_all();
        }
        puts("done");
        fflush(stdout);
    }
    return 0;
}
