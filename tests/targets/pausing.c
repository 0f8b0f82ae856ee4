/* Fills so many MiB, rewrites the first few of them every 20 ms, and notes for how long it did not run.
 *
 * For each line it is given it answers with the longest gap since the last one, in microseconds, that a thread
 * which does nothing but look at the clock has seen between two looks.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static char *memory;
static size_t size, hot;
static _Atomic long longest_us;

static long now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

static void *rewrite(void *unused) {
  for (int value = 1;; value++) {
    memset(memory, value, hot);
    usleep(20000);
  }
  return unused;
}

static void *watch(void *unused) {
  for (long last = now_us(), now;; last = now) {
    struct timespec pause = {0, 100000};
    nanosleep(&pause, NULL);
    now = now_us();
    if (now - last > longest_us)
      longest_us = now - last;
  }
  return unused;
}

int main(int count, char **arguments) {
  pthread_t thread;
  char line[64];
  if (count != 3)
    return 2;
  size = strtoul(arguments[1], NULL, 10) << 20;
  hot = strtoul(arguments[2], NULL, 10) << 20;
  memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  madvise(memory, size, MADV_NOHUGEPAGE);
  for (size_t at = 0; at < size; at += sizeof(long))
    *(long *)(memory + at) = at * 0x9e3779b97f4a7c15UL;
  pthread_create(&thread, NULL, rewrite, NULL);
  pthread_create(&thread, NULL, watch, NULL);
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    printf("%ld\n", longest_us);
    longest_us = 0;
    fflush(stdout);
  }
}
