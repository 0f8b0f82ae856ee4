/*
 * Preloaded (LD_PRELOAD): lets one call fail of all that change files below certain directories, or lets it
 * write half of what it was to. The file that FAILING_WRITES names is a `struct state`, made by who starts
 * the program and shared by all processes that come of it: together they count their calls.
 *
 * What it cannot see: calls that libc makes within itself, and those of programs that are linked statically.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SHORT (-1)

struct state {
	_Atomic uint64_t calls;   /* made so far */
	uint64_t failing;         /* which one fails, from 1; 0: none */
	int32_t code;             /* the errno it fails with, or SHORT: then only calls that write are counted */
	int32_t pid;              /* who made the one that failed; 0 so far */
	char call[32];            /* its name */
	char program[32];         /* whose it was: comm */
	char path[256];           /* of what; a name alone where a descriptor says in which directory */
	char below[2][256];       /* the directories, without a slash at the end */
};

static struct state *state;

__attribute__((constructor)) static void open_state(void)
{
	const char *name = getenv("FAILING_WRITES");
	int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
	void *shared;

	if (fd < 0)
		return;
	shared = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (shared != MAP_FAILED)
		state = shared;
}

static int is_below(const char *path)
{
	for (int i = 0; i < 2; i++) {
		size_t length = strlen(state->below[i]);

		if (length && !strncmp(path, state->below[i], length) &&
		    (path[length] == '/' || !path[length]))
			return 1;
	}
	return 0;
}

static int path_of(int fd, char *path)
{
	char link[64];
	ssize_t length;

	snprintf(link, sizeof(link), fd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", fd);
	length = readlink(link, path, PATH_MAX - 1);
	path[length < 0 ? 0 : length] = 0;
	return length > 0;
}

/* Whether this call is the one; it is noted, and errno is set. errno of other calls is left as it is. */
static int comes_up(const char *call, const char *path, int writes)
{
	uint64_t number;
	int comm;

	if (state->code == SHORT && !writes)
		return 0;
	number = atomic_fetch_add(&state->calls, 1) + 1;
	if (number != state->failing)
		return 0;
	state->pid = getpid();
	snprintf(state->call, sizeof(state->call), "%s", call);
	snprintf(state->path, sizeof(state->path), "%s", path);
	comm = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
	if (comm >= 0) {
		ssize_t length = read(comm, state->program, sizeof(state->program) - 1);

		state->program[length > 0 ? length - 1 : 0] = 0;
		close(comm);
	}
	if (state->code != SHORT)
		errno = state->code;
	return 1;
}

static int fails_at(const char *call, int dirfd, const char *name)
{
	char path[PATH_MAX];
	int before = errno;

	if (!state || (*name != '/' && !path_of(dirfd, path)) || !is_below(*name == '/' ? name : path)) {
		errno = before;
		return 0;
	}
	errno = before;
	return comes_up(call, name, 0);
}

static int fails_on(const char *call, int fd, int writes)
{
	char path[PATH_MAX];
	int before = errno, is_ours = state && path_of(fd, path) && is_below(path);

	errno = before;
	return is_ours && comes_up(call, path, writes);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAILS_AT(...) if (fails_at(__func__, __VA_ARGS__)) return -1
#define FAILS_ON(fd) if (fails_on(__func__, fd, 0)) return -1
/* For calls that write `size` bytes: half of them, or none at all. */
#define WRITES(fd, size)                                                                           \
	do {                                                                                       \
		if (state && (size) > (state->code == SHORT) && fails_on(__func__, fd, 1)) {       \
			if (state->code != SHORT)                                                  \
				return -1;                                                         \
			(size) /= 2;                                                               \
		}                                                                                  \
	} while (0)

#define CREATING (O_CREAT | O_TRUNC)
#define OPENS(open)                                                                                \
	int open(const char *name, int flags, ...)                                                 \
	{                                                                                          \
		mode_t mode = 0;                                                                   \
		if (flags & (O_CREAT | O_TMPFILE)) {                                               \
			va_list more;                                                              \
			va_start(more, flags);                                                     \
			mode = va_arg(more, mode_t);                                               \
			va_end(more);                                                              \
		}                                                                                  \
		if (flags & CREATING)                                                              \
			FAILS_AT(AT_FDCWD, name);                                                  \
		return REAL(open)(name, flags, mode);                                              \
	}
#define OPENS_AT(openat)                                                                           \
	int openat(int dirfd, const char *name, int flags, ...)                                    \
	{                                                                                          \
		mode_t mode = 0;                                                                   \
		if (flags & (O_CREAT | O_TMPFILE)) {                                               \
			va_list more;                                                              \
			va_start(more, flags);                                                     \
			mode = va_arg(more, mode_t);                                               \
			va_end(more);                                                              \
		}                                                                                  \
		if (flags & CREATING)                                                              \
			FAILS_AT(dirfd, name);                                                     \
		return REAL(openat)(dirfd, name, flags, mode);                                     \
	}
OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)

ssize_t write(int fd, const void *data, size_t size)
{
	WRITES(fd, size);
	return REAL(write)(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
	WRITES(fd, size);
	return REAL(pwrite)(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
	WRITES(fd, size);
	return REAL(pwrite64)(fd, data, size, at);
}

/* Of several pieces a short write takes the first, or half of the only one. */
ssize_t writev(int fd, const struct iovec *pieces, int count)
{
	struct iovec first = count > 0 ? pieces[0] : (struct iovec){0};

	if (fails_on(__func__, fd, 1)) {
		if (state->code != SHORT)
			return -1;
		if (count == 1)
			first.iov_len = (first.iov_len + 1) / 2;
		return REAL(writev)(fd, &first, count > 0);
	}
	return REAL(writev)(fd, pieces, count);
}

ssize_t sendfile(int to, int from, off_t *at, size_t size)
{
	WRITES(to, size);
	return REAL(sendfile)(to, from, at, size);
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t size)
{
	WRITES(to, size);
	return REAL(sendfile64)(to, from, at, size);
}

ssize_t splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags)
{
	WRITES(to, size);
	return REAL(splice)(from, from_at, to, to_at, size, flags);
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags)
{
	WRITES(to, size);
	return REAL(copy_file_range)(from, from_at, to, to_at, size, flags);
}

int ftruncate(int fd, off_t size)
{
	FAILS_ON(fd);
	return REAL(ftruncate)(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
	FAILS_ON(fd);
	return REAL(ftruncate64)(fd, size);
}

int fallocate(int fd, int mode, off_t at, off_t size)
{
	FAILS_ON(fd);
	return REAL(fallocate)(fd, mode, at, size);
}

int fallocate64(int fd, int mode, off64_t at, off64_t size)
{
	FAILS_ON(fd);
	return REAL(fallocate64)(fd, mode, at, size);
}

int fsync(int fd)
{
	FAILS_ON(fd);
	return REAL(fsync)(fd);
}

int fdatasync(int fd)
{
	FAILS_ON(fd);
	return REAL(fdatasync)(fd);
}

int fchmod(int fd, mode_t mode)
{
	FAILS_ON(fd);
	return REAL(fchmod)(fd, mode);
}

int fchmodat(int dirfd, const char *name, mode_t mode, int flags)
{
	FAILS_AT(dirfd, name);
	return REAL(fchmodat)(dirfd, name, mode, flags);
}

int mkdir(const char *name, mode_t mode)
{
	FAILS_AT(AT_FDCWD, name);
	return REAL(mkdir)(name, mode);
}

int mkdirat(int dirfd, const char *name, mode_t mode)
{
	FAILS_AT(dirfd, name);
	return REAL(mkdirat)(dirfd, name, mode);
}

int rename(const char *from, const char *to)
{
	FAILS_AT(AT_FDCWD, to);
	return REAL(rename)(from, to);
}

int renameat(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
	FAILS_AT(to_dirfd, to);
	return REAL(renameat)(from_dirfd, from, to_dirfd, to);
}

int symlink(const char *target, const char *name)
{
	FAILS_AT(AT_FDCWD, name);
	return REAL(symlink)(target, name);
}

int symlinkat(const char *target, int dirfd, const char *name)
{
	FAILS_AT(dirfd, name);
	return REAL(symlinkat)(target, dirfd, name);
}

int linkat(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags)
{
	FAILS_AT(to_dirfd, to);
	return REAL(linkat)(from_dirfd, from, to_dirfd, to, flags);
}

int unlink(const char *name)
{
	FAILS_AT(AT_FDCWD, name);
	return REAL(unlink)(name);
}

int unlinkat(int dirfd, const char *name, int flags)
{
	FAILS_AT(dirfd, name);
	return REAL(unlinkat)(dirfd, name, flags);
}

/* As Linux does it: the descriptor is closed whatever it says. Only of files that were open for writing. */
int close(int fd)
{
	struct stat status;
	int before = errno, flags = state ? fcntl(fd, F_GETFL) : -1, failed;

	failed = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && !fstat(fd, &status) &&
		 S_ISREG(status.st_mode);
	errno = before;
	failed = failed && fails_on(__func__, fd, 0);
	before = errno;
	if (REAL(close)(fd))
		return -1;
	errno = before;
	return failed ? -1 : 0;
}
