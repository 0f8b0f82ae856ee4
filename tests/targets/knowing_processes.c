/* Targets of the harm test that are something special as processes, or have children. */
#include "knowing/knowing.h"

#include <grp.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/ptrace.h>

static struct child child;

static void tell_of_child(void) { tell_child("child", &child); }

static const struct kind only_answering = {"child"};

/* -- children in each state, of which it has been told or not */

enum { ZOMBIE, STOPPED, STOPPED_AND_TOLD, CONTINUED, RUNNING, CHILDREN };
static pid_t children[CHILDREN];

static void tell_state(const char *name, pid_t pid, int options)
{
	siginfo_t info = {0};
	int failed = waitid(P_PID, pid, &info, options | WNOHANG | WNOWAIT);

	say(name, "%d: code %d, status %d, errno %d", info.si_pid, info.si_code, info.si_status, failed ? errno : 0);
}

static void wait_until(pid_t pid, int options)
{
	siginfo_t info;

	while (waitid(P_PID, pid, &info, options | WNOWAIT) && errno == EINTR)
		;
}

static void have_children(void)
{
	siginfo_t info;
	struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_RESTART};

	for (int at = 0; at < CHILDREN; at++)
		children[at] = idle_child();
	sigaction(SIGCHLD, &action, NULL);
	kill(children[ZOMBIE], SIGKILL);
	wait_until(children[ZOMBIE], WEXITED);
	for (int at = STOPPED; at <= CONTINUED; at++) {
		kill(children[at], SIGSTOP);
		wait_until(children[at], WSTOPPED);
	}
	waitid(P_PID, children[STOPPED_AND_TOLD], &info, WSTOPPED);
	kill(children[CONTINUED], SIGCONT);
	wait_until(children[CONTINUED], WCONTINUED);
}

static void tell_children(void)
{
	static const char *names[] = {"zombie", "stopped", "stopped and told", "continued", "running"};

	for (int at = 0; at < CHILDREN; at++)
		tell_state(names[at], children[at], WEXITED | WSTOPPED | WCONTINUED);
}

/* -- traces two children, one of which is stopped by that */

static pid_t traced[2];

static void trace_children(void)
{
	for (int at = 0; at < 2; at++) {
		traced[at] = idle_child();
		require(ptrace(PTRACE_SEIZE, traced[at], 0, PTRACE_O_EXITKILL), "trace a child");
	}
	ptrace(PTRACE_INTERRUPT, traced[0], 0, 0);
	wait_until(traced[0], WSTOPPED);
	waitpid(traced[0], NULL, __WALL);
}

static void tell_traced(void)
{
	long message = -1;

	tell_state("traced and stopped", traced[0], WEXITED | WSTOPPED | WCONTINUED);
	tell_state("traced and running", traced[1], WEXITED | WSTOPPED | WCONTINUED);
	say("can look into it", "%d", ptrace(PTRACE_GETEVENTMSG, traced[0], 0, &message) ? errno : 0);
}

/* -- its main thread has ended */

static void end_main_thread(void)
{
	serve_beside();
	pthread_exit(NULL);
}

/* -- who it is */

static void be_hidden(void) { require(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "be hidden"); }

static void be_nobody(void)
{
	struct rlimit none = {1, 1};

	require(setgroups(0, NULL), "leave all groups");
	require(setrlimit(RLIMIT_NPROC, &none), "limit its processes");
	require(setresgid(65534, 65534, 65534), "be of nobody's group");
	require(setresuid(65534, 65534, 65534), "be nobody");
}

static void write_map(const char *name, unsigned id)
{
	char line[32];
	int file = open(name, O_WRONLY), length = snprintf(line, sizeof line, "0 %u 1", id);

	require(write(file, line, length), "map users");
	close(file);
}

/* Its child is the first process of new namespaces of each kind. */
static void contain_child(void)
{
	uid_t user = geteuid();

	require(unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET),
		"make namespaces");
	write_map("/proc/self/uid_map", user);
	child = answering_child(&only_answering);
}

static void have_personality(void)
{
	static char *arguments[] = {(char *)"target", (char *)"personality", NULL};

	if (personality(0xffffffff) & ADDR_NO_RANDOMIZE)
		return;
	personality(ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC | UNAME26);
	execv("/proc/self/exe", arguments);
	cannot("have another personality");
}

/* At every limit there is, as it is now; what is given back by answering is less than a page. */
static void be_limited(void)
{
	static const int to_nothing[] = {RLIMIT_CORE, RLIMIT_MEMLOCK, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE, RLIMIT_FSIZE};
	struct rlimit limit = {0, 0};
	char line[256];
	long pages;
	FILE *statm = fopen("/proc/self/statm", "r");

	if (!statm || !fgets(line, sizeof line, statm))
		cannot("see its size");
	fclose(statm);
	pages = atol(line);
	for (size_t at = 0; at < sizeof to_nothing / sizeof *to_nothing; at++)
		setrlimit(to_nothing[at], &limit);
	limit.rlim_cur = limit.rlim_max = (pages + 1) * PAGE;
	setrlimit(RLIMIT_AS, &limit);
	setrlimit(RLIMIT_DATA, &limit);
	limit.rlim_cur = limit.rlim_max = 128 * PAGE;
	setrlimit(RLIMIT_STACK, &limit);
}

static void be_scheduled(void)
{
	struct sched_param some = {.sched_priority = 3};
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	require(sched_setaffinity(0, sizeof first, &first), "run on one processor");
	setpriority(PRIO_PROCESS, 0, 7);
	syscall(SYS_ioprio_set, 1, 0, 3 << 13);
	require(sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &some), "be scheduled in real time");
	prctl(PR_SET_TIMERSLACK, 77777);
}

/* -- locks in memory that the kernel knows of */

static pthread_mutex_t robust, inheriting;

static void *lock_in_vain(void *mutex)
{
	pthread_mutex_lock(mutex);
	return NULL;
}

static void *hold_and_wait(void *unused)
{
	pthread_mutex_lock(&robust);
	pthread_mutex_lock(&inheriting);
	for (;;)
		pause();
	return unused;
}

static void hold_mutexes(void)
{
	pthread_mutexattr_t kind;
	pthread_t holding, thread;

	pthread_mutexattr_init(&kind);
	pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&robust, &kind);
	pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&inheriting, &kind);
	pthread_create(&holding, NULL, hold_and_wait, NULL);
	while (pthread_mutex_trylock(&inheriting) != EBUSY)
		pthread_mutex_unlock(&inheriting);
	pthread_create(&thread, NULL, lock_in_vain, &robust);
	pthread_create(&thread, NULL, lock_in_vain, &inheriting);
}

static void tell_mutexes(void)
{
	say("robust mutex", "%d", pthread_mutex_trylock(&robust));
	say("mutex with priority inheritance", "%d", pthread_mutex_trylock(&inheriting));
}

/* -- starts programs and children all the time */

static pid_t storm;

/* A child that starts the same program over and over. */
static void have_exec_storm(void)
{
	storm = fork();
	if (!storm) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl("/proc/self/exe", "storm", "exec", NULL);
		_exit(1);
	}
}

static void start_again(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == 1)
		_exit(1);
	execl("/proc/self/exe", "storm", "exec", NULL);
	_exit(1);
}

static void tell_storm(void) { tell_state("storm", storm, WEXITED | WSTOPPED | WCONTINUED); }

static volatile unsigned long forked, forked_wrong, not_forked;
static int next_descriptor;
static sigset_t mask_of_forks;

/* A child that is as its parent: no descriptor more, no signal blocked. */
static void be_forked(void)
{
	sigset_t mask;
	int next = open("/dev/null", O_RDONLY);

	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	_exit(next != next_descriptor || memcmp(&mask, &mask_of_forks, 8));
}

static void *fork_and_fork(void *unused)
{
	for (;;) {
		int status;
		pid_t pid = fork();

		if (!pid)
			be_forked();
		if (pid < 0) {
			not_forked++;
			continue;
		}
		if (waitpid(pid, &status, 0) != pid || status)
			forked_wrong++;
		forked++;
	}
	return unused;
}

static void have_fork_storm(void)
{
	pthread_t thread;

	next_descriptor = open("/dev/null", O_RDONLY);
	close(next_descriptor);
	pthread_sigmask(SIG_BLOCK, NULL, &mask_of_forks);
	pthread_create(&thread, NULL, fork_and_fork, NULL);
}

static void tell_forks(void)
{
	unsigned long before = forked;

	while (forked < before + 3)
		sched_yield();
	say("forks refused", "%lu", not_forked);
	say("children that were not as their parent", "%lu", forked_wrong);
}

static const struct kind kinds[] = {
	{"children", have_children, tell_children},
	{"tracing", trace_children, tell_traced},
	{"headless", end_main_thread},
	{"hidden", be_hidden},
	{"nobody", be_nobody},
	{"containing", contain_child, tell_of_child},
	{"personality", have_personality},
	{"limited", be_limited},
	{"scheduled", be_scheduled},
	{"robust", hold_mutexes, tell_mutexes},
	{"execing", have_exec_storm, tell_storm},
	{"exec", start_again},
	{"forking", have_fork_storm, tell_forks},
};

int main(int argc, char **argv) { return become(kinds, sizeof kinds / sizeof *kinds, argc, argv); }
