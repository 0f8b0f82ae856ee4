/* Something to look at with a debugger: threads at known depths, variables of every kind, memory of every kind.
 *
 * When all is in place it stops itself by SIGSTOP, so that nothing of it changes while it is looked at.
 * With an argument its first thread has known values in the widest registers that there are, and goes round.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS 3
#define PAGE 4096

struct node {
  int number;
  struct node *next;
};

int changed = 1;
int untouched[2 * PAGE] = {7};
const char *text = "a constant";
struct node *list;
char *heap, *mapped, *shared, *secret, *unwritten;
__thread int own = 1;
static pthread_barrier_t ready;

__attribute__((noinline)) static int deeper(int depth, int thread) {
  volatile int local = depth * 10 + thread;
  if (depth == 0) {
    own = 100 + thread;
    pthread_barrier_wait(&ready);
    for (;;)
      pause();
  }
  return deeper(depth - 1, thread) + local;
}

static void *run(void *argument) {
  intptr_t thread = (intptr_t)argument;
  deeper(thread + 2, thread);
  return NULL;
}

static char *map(int flags, size_t pages) {
  return mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
}

static void go_round(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f"))
    __asm__ volatile(
        "mov $0x1122334455667788, %%rax\n\t"
        "vpbroadcastq %%rax, %%zmm16\n\t"
        "vpbroadcastq %%rax, %%zmm3\n\t"
        "kmovw %%eax, %%k3\n\t"
        "1: jmp 1b" ::
            : "rax");
#endif
  for (;;)
    pause();
}

int main(int count, char **arguments) {
  pthread_t thread;
  (void)arguments;
  pthread_barrier_init(&ready, NULL, THREADS + 1);
  for (intptr_t i = 0; i < THREADS; i++)
    pthread_create(&thread, NULL, run, (void *)i);
  for (int i = 0; i < 5; i++) {
    struct node *node = malloc(sizeof *node);
    node->number = i;
    node->next = list;
    list = node;
  }
  heap = malloc(300 * PAGE);
  for (int i = 0; i < 300; i += 2)
    memset(heap + i * PAGE, i, PAGE);
  mapped = map(MAP_PRIVATE, 500);
  for (int i = 0; i < 500; i += 3)
    memset(mapped + i * PAGE, i + 1, PAGE);
  mapped[499 * PAGE + 5] = 'z';
  shared = map(MAP_SHARED, 20);
  strcpy(shared + 3 * PAGE, "in shared memory");
  unwritten = map(MAP_PRIVATE, 10);
  secret = map(MAP_PRIVATE, 4);
  strcpy(secret, "nobody is to see this");
  madvise(secret, 4 * PAGE, MADV_DONTDUMP);
  changed = 2;
  pthread_barrier_wait(&ready);
  raise(SIGSTOP);
  if (count > 1)
    go_round();
  for (;;)
    pause();
}
