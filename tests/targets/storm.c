/* Forks children that live shortly, so many at a time, for as long as it lives; and one that stays.
 *
 * Usage: storm ALIVE MILLISECONDS
 * It says "ready" once the first generation is there, and then the pid of the child that stays.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { PAGES = 64, PAGE = 4096 };

static char *memory;

static void touch(void)
{
    for (int page = 0; page < PAGES; page++)
        memory[page * PAGE]++;
}

static void pause_for(long milliseconds)
{
    struct timespec span = { milliseconds / 1000, milliseconds % 1000 * 1000000 };
    nanosleep(&span, NULL);
}

static pid_t begin(long milliseconds)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (milliseconds == 0)
        for (;;) {
            touch();
            pause_for(5);
        }
    touch();
    pause_for(milliseconds);
    _exit(0);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    int alive = atoi(argv[1]);
    long milliseconds = atol(argv[2]);
    memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 1;
    touch();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pid_t stays = begin(0);
    for (int child = 0; child < alive; child++)
        begin(milliseconds);
    printf("ready\n%d\n", (int)stays);
    fflush(stdout);
    for (;;) {
        struct timespec began, ended;
        wait(NULL);
        clock_gettime(CLOCK_MONOTONIC, &began);
        begin(milliseconds);
        touch();
        clock_gettime(CLOCK_MONOTONIC, &ended);
        /* Where the CPU is slow, others shall have it too; and a child that waits for it does not live shortly. */
        pause_for(4 * ((ended.tv_sec - began.tv_sec) * 1000 + (ended.tv_nsec - began.tv_nsec) / 1000000));
    }
}
