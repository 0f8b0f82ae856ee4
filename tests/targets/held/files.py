"""Descriptors, but for sockets and devices."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import resource
import select
import signal
import struct
from pathlib import Path

from tests.targets.held.things import (
    NETWORK,
    PAGE,
    call,
    check,
    child,
    here,
    hold,
    kind,
    libc,
    memory,
    new_file,
    unshare,
)


@kind
def nothing() -> None:
    """Only what every process has."""


@kind
def eventfd() -> None:
    hold(os.eventfd(3))


@kind
def signalfd() -> None:
    hold(call("signalfd4", -1, ctypes.byref(ctypes.c_uint64(1 << 9)), 8, 0))


@kind
def timerfd() -> None:
    hold(call("timerfd_create", 1, 0))


@kind
def epoll() -> None:
    watcher = select.epoll()
    reading, writing = os.pipe()
    watcher.register(reading)
    hold(watcher, reading, writing)


@kind
def epoll_of_a_renumbered_file() -> None:
    watcher = select.epoll()
    reading, writing = os.pipe()
    watcher.register(reading)
    hold(watcher, os.dup(reading), writing)
    os.close(reading)


@kind
def epoll_of_a_file_that_only_a_child_has() -> None:
    watcher = select.epoll()
    reading, writing = os.pipe()
    watcher.register(reading)
    child()
    os.close(reading)
    hold(watcher, writing)


def _watch(path: Path) -> None:
    watcher = call("inotify_init1", 0)
    call("inotify_add_watch", watcher, os.fsencode(path), 0x2)
    hold(watcher)


@kind
def inotify() -> None:
    _watch(here())


@kind
def inotify_in_proc() -> None:
    _watch(Path("/proc/self/mountinfo"))


@kind
def inotify_of_a_deleted_file_in_memory() -> None:
    path = Path(f"/dev/shm/held-{os.getpid()}")
    hold(os.open(path, os.O_CREAT | os.O_RDWR))
    _watch(path)
    path.unlink()


@kind
def fanotify() -> None:
    watcher = call("fanotify_init", 0, 0)
    call("fanotify_mark", watcher, 1, ctypes.c_uint64(0x2), -100, os.fsencode(here()))
    hold(watcher)


@kind
def pidfd_of_itself() -> None:
    hold(os.pidfd_open(os.getpid()))


@kind
def pidfd_of_a_child() -> None:
    hold(os.pidfd_open(child()))


@kind
def pidfd_of_its_parent() -> None:
    hold(os.pidfd_open(os.getppid()))


@kind
def pidfd_of_a_thread() -> None:
    hold(call("pidfd_open", os.getpid(), os.O_EXCL))


@kind
def io_uring() -> None:
    hold(call("io_uring_setup", 4, ctypes.create_string_buffer(120)))


@kind
def io_uring_that_is_only_mapped() -> None:
    ring = call("io_uring_setup", 4, ctypes.create_string_buffer(120))
    hold(memory(1, mmap.MAP_SHARED, ring))
    os.close(ring)


@kind
def userfaultfd() -> None:
    hold(call("userfaultfd", 1))


def _counter() -> int:
    attributes = ctypes.create_string_buffer(128)
    struct.pack_into("IIQ", attributes, 0, 1, 112, 9)
    return call("perf_event_open", attributes, 0, -1, -1, 0)


@kind
def perf_event() -> None:
    hold(_counter())


@kind
def perf_event_that_is_only_mapped() -> None:
    counter = _counter()
    hold(memory(2, mmap.MAP_SHARED, counter))
    os.close(counter)


def _bpf_map(of_kind: int) -> None:
    attributes = ctypes.create_string_buffer(120)
    struct.pack_into("IIII", attributes, 0, of_kind, 4, 8, 4)
    hold(call("bpf", 0, attributes, 120))


@kind
def bpf_hash_map() -> None:
    _bpf_map(1)


@kind
def bpf_lru_map() -> None:
    _bpf_map(9)


@kind
def memfd() -> None:
    descriptor = os.memfd_create("held")
    os.write(descriptor, b"a" * 10_000)
    hold(descriptor)


@kind
def memfd_of_huge_pages() -> None:
    descriptor = os.memfd_create("held", 4)
    os.ftruncate(descriptor, 2 << 20)
    hold(descriptor)


@kind
def secret_memory() -> None:
    hold(call("memfd_secret", 0))


@kind
def secret_memory_that_is_only_mapped() -> None:
    descriptor = call("memfd_secret", 0)
    os.ftruncate(descriptor, PAGE)
    hold(memory(1, mmap.MAP_SHARED, descriptor))
    os.close(descriptor)


@kind
def landlock_ruleset() -> None:
    hold(call("landlock_create_ruleset", struct.pack("Q", 1), 8, 0))


@kind
def file_system_not_mounted_yet() -> None:
    hold(call("fsopen", b"tmpfs", 0))


@kind
def file_of_a_detached_mount() -> None:
    tree = call("open_tree", -100, b"/", 1 | os.O_CLOEXEC)
    hold(os.open("etc/passwd", os.O_RDONLY, dir_fd=tree))
    os.close(tree)


def _filter(flags: int) -> int:
    """A seccomp filter that allows everything."""
    program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FFF_0000))
    header = struct.pack("H6xQ", 1, ctypes.addressof(program))
    check(libc.prctl(38, 1, 0, 0, 0))
    return call("seccomp", 1, flags, header)


@kind
def seccomp_listener() -> None:
    hold(_filter(8))


@kind
def seccomp_filter() -> None:
    _filter(0)


@kind
def namespace_of_its_own_by_descriptor() -> None:
    hold(os.open("/proc/self/ns/net", os.O_RDONLY))


@kind
def namespace_that_nobody_is_in() -> None:
    pid = child(lambda: unshare(NETWORK))
    hold(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@kind
def path_only() -> None:
    hold(os.open("/etc/passwd", os.O_PATH))


@kind
def directory_that_was_removed() -> None:
    (here() / "removed").mkdir()
    hold(os.open(here() / "removed", os.O_RDONLY))
    (here() / "removed").rmdir()


@kind
def working_directory_that_was_removed() -> None:
    (here() / "removed").mkdir()
    os.chdir(here() / "removed")
    (here() / "removed").rmdir()


@kind
def small_deleted_file() -> None:
    hold(new_file("deleted"))
    (here() / "deleted").unlink()


@kind
def large_deleted_file() -> None:
    hold(new_file("deleted", b"x" * (2 << 20)))
    (here() / "deleted").unlink()


@kind
def sparse_deleted_file() -> None:
    descriptor = new_file("deleted")
    os.ftruncate(descriptor, 2 << 20)
    hold(descriptor)
    (here() / "deleted").unlink()


@kind
def large_deleted_file_that_is_only_mapped() -> None:
    descriptor = new_file("deleted", b"x" * (2 << 20))
    hold(memory(512, mmap.MAP_PRIVATE, descriptor))
    os.close(descriptor)
    (here() / "deleted").unlink()


@kind
def deleted_name_of_a_file_with_another() -> None:
    hold(new_file("one"))
    os.link(here() / "one", here() / "other")
    (here() / "one").unlink()


@kind
def file_that_is_called_deleted() -> None:
    hold(new_file("named (deleted)"))


@kind
def file_in_whose_place_another_is() -> None:
    hold(new_file("one"))
    os.close(new_file("other"))
    os.rename(here() / "other", here() / "one")


@kind
def flock() -> None:
    descriptor = new_file("locked")
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    hold(descriptor)


@kind
def posix_lock() -> None:
    descriptor = new_file("locked")
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    hold(descriptor)


@kind
def lease() -> None:
    os.close(new_file("leased"))
    descriptor = os.open(here() / "leased", os.O_RDONLY)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    hold(descriptor)


@kind
def pipe() -> None:
    hold(*os.pipe())


@kind
def half_of_a_pipe() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    hold(reading)


@kind
def pipe_of_packets() -> None:
    hold(*os.pipe2(os.O_DIRECT))


@kind
def many_pipes() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    for _ in range(1030):
        hold(*os.pipe())


@kind
def file_in_a_renamed_directory() -> None:
    (here() / "there").mkdir()
    hold(new_file("there/one"))
    os.rename(here() / "there", here() / "elsewhere")


@kind
def file_that_a_mount_hides() -> None:
    (here() / "there").mkdir()
    hold(new_file("there/one"))
    unmounted = os.fsencode(here() / "there")
    check(libc.mount(b"none", unmounted, b"tmpfs", 0, None))
    (here() / "there" / "one").write_text("another")
