"""Page faults as perf events: which instruction of which thread met which address (perf_event_open(2)).

A minor fault is a *software* event: counted by the kernel, without a performance unit, so that it works in
virtual machines. With a period of 1 each fault is a sample. Samples of all threads go through one ring for
each CPU, which the kernel writes and we read (include/uapi/linux/perf_event.h).

Records differ in length, for call chains do. They are found all at once: the first word of a sample is one
of few values that nothing else in a sample can have, and that is checked, each must begin where the one
before ends.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import from_os_error
from engine.kernel.libc import MACHINE, checked, libc, system_call
from engine.pageset import PAGE_SIZE

_SYS_PERF_EVENT_OPEN: Final = {"x86_64": 298, "aarch64": 241}.get(MACHINE, -1)

_TYPE_SOFTWARE: Final = 1
_MINOR_FAULTS: Final = 5
_ALL_CPUS: Final = -1

_IP, _TID, _TIME, _ADDRESS, _CALLCHAIN = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 5
_INHERIT: Final = 1 << 1
_EXCLUDE_KERNEL: Final = 1 << 5
_EXCLUDE_HYPERVISOR: Final = 1 << 6
_WATERMARK: Final = 1 << 14
_EXCLUDE_KERNEL_CHAIN: Final = 1 << 21
_USE_CLOCK: Final = 1 << 25
_CLOCK_MONOTONIC: Final = 1

_OPEN_FLAGS: Final = 1 << 3  # PERF_FLAG_FD_CLOEXEC
_IOC_SET_OUTPUT: Final = 0x2405
_IOC_PERIOD: Final = 0x40082404

_SMALLEST_RING_BYTES: Final = 1 << 16
_HEAD_AT: Final = 1024
_TAIL_AT: Final = 1032
"""In the first page of a ring: bytes that the kernel has written, and that we have read, since it began."""

_RECORD_LOST: Final = 2
_RECORD_SAMPLE: Final = 9
_FIXED_WORDS: Final = 6
"""Of a sample: header, instruction, pid and tid, time, address, and the length of the chain."""
_USER_CONTEXT: Final = np.uint64((1 << 64) - 512)  # PERF_CONTEXT_USER
_FIRST_CONTEXT: Final = np.uint64((1 << 64) - 4095)  # PERF_CONTEXT_MAX: from here on it is no address

U64Array = NDArray[np.uint64]


class _Attributes(ctypes.Structure):
    """`struct perf_event_attr`, as of Linux 4.8."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_watermark", ctypes.c_uint32),
        ("breakpoint_type", ctypes.c_uint32),
        ("config1", ctypes.c_uint64),
        ("config2", ctypes.c_uint64),
        ("branch_sample_type", ctypes.c_uint64),
        ("sample_regs_user", ctypes.c_uint64),
        ("sample_stack_user", ctypes.c_uint32),
        ("clock", ctypes.c_int32),
        ("sample_regs_interrupt", ctypes.c_uint64),
        ("aux_watermark", ctypes.c_uint32),
        ("sample_max_stack", ctypes.c_uint16),
        ("reserved", ctypes.c_uint16),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Faults:
    """Minor faults, in the order of each CPU; arrays of shape (n,)."""

    times_ns: NDArray[np.int64]
    """By CLOCK_MONOTONIC, as `time.monotonic_ns()`."""
    pids: NDArray[np.int32]
    tids: NDArray[np.int32]
    addresses: U64Array
    """What was touched; byte addresses."""
    chains: U64Array
    """Instructions of the user's code, shape (n, depth): the one that touched it, or called the kernel which
    did, then its callers; 0 where there are no more."""
    lost: int = 0
    """How many more there were, which did not fit into a ring."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self.addresses)


class FaultEvents:
    """The minor faults of some threads, and of all threads and processes that they start.

    To be used from one thread at a time.
    """

    def __init__(self, *, depth: int = 24, ring_bytes: int = 8 << 20, with_kernel: bool = True) -> None:
        """Begin with no thread.

        Args:
            depth: how many instructions of a call chain to keep.
            ring_bytes: of the ring of each CPU; a power of two, at least a page.
            with_kernel: count what the kernel touches for a thread (as in `read(2)`); takes CAP_PERFMON
                where `kernel.perf_event_paranoid` is over 1.
        """
        self.depth = depth
        self.with_kernel = with_kernel
        self.period = 1
        """One of so many faults is a sample."""
        self.period_since_ns = 0
        """Since when that is so, by CLOCK_MONOTONIC. A sample does not tell: of a software event that is to,
        the kernel makes each occurrence one (kernel/events/core.c, perf_swevent_event)."""
        self._ring_bytes = ring_bytes
        self._rings: dict[int, _Ring] = {}
        self._events: dict[int, list[int]] = {}
        """Descriptors by thread."""

    @property
    def tids(self) -> frozenset[int]:
        """The threads that were added. One that has ended stays: with it would go all that it has started."""
        return frozenset(self._events)

    def add(self, tid: int) -> None:
        """Watch a thread, and those that it starts from now on.

        Raises:
            TargetGone: it has ended.
            NotPermitted: it is not ours to watch.
            DirtytopError: the kernel has no such events, or no room for them.
        """
        opened: list[int] = []
        try:
            for cpu in range(os.sysconf("SC_NPROCESSORS_CONF")):
                descriptor = self._open(tid, cpu)
                if descriptor is None:
                    continue
                opened.append(descriptor)
                ring = self._rings.get(cpu)
                if ring is None:
                    self._rings[cpu] = _Ring(descriptor, self._ring_bytes)
                else:
                    checked(libc.ioctl(descriptor, _IOC_SET_OUTPUT, ring.descriptor))
        except OSError as error:
            for descriptor in opened:
                os.close(descriptor)
            failure = from_os_error(error, tid, "count its page faults")
            if error.errno == errno.EMFILE:
                failure.hint = "each thread takes a file for each CPU: raise `ulimit -n`"
            raise failure from error
        self._events[tid] = opened

    def set_period(self, period: int) -> None:
        """Have one of so many faults be a sample from now on."""
        self.period = period
        self.period_since_ns = time.monotonic_ns()
        value = ctypes.c_uint64(period)
        for descriptors in self._events.values():
            for descriptor in descriptors:
                checked(libc.ioctl(descriptor, _IOC_PERIOD, ctypes.byref(value)))

    def read(self) -> Faults:
        """What has come since the last call; never waits."""
        filled = [words for ring in self._rings.values() if len(words := ring.take())]
        read = [parse(words, self.depth) for words in filled]
        if len(read) == 1:
            return read[0]
        if not read:
            return parse(np.empty(0, np.uint64), self.depth)
        return Faults(
            np.concatenate([each.times_ns for each in read]),
            np.concatenate([each.pids for each in read]),
            np.concatenate([each.tids for each in read]),
            np.concatenate([each.addresses for each in read]),
            np.concatenate([each.chains for each in read]),
            sum(each.lost for each in read),
        )

    def close(self) -> None:
        """Give everything back; may be called twice."""
        events, self._events = self._events, {}
        for descriptors in events.values():
            for descriptor in descriptors:
                os.close(descriptor)
        rings, self._rings = self._rings, {}
        for ring in rings.values():
            ring.close()

    def _open(self, tid: int, cpu: int) -> int | None:
        """The event of one thread on one CPU; None if that CPU is offline."""
        flags = _INHERIT | _EXCLUDE_HYPERVISOR | _EXCLUDE_KERNEL_CHAIN | _USE_CLOCK | _WATERMARK
        attributes = _Attributes(
            type=_TYPE_SOFTWARE,
            size=ctypes.sizeof(_Attributes),
            config=_MINOR_FAULTS,
            sample_period=self.period,
            sample_type=_IP | _TID | _TIME | _ADDRESS | _CALLCHAIN,
            flags=flags if self.with_kernel else flags | _EXCLUDE_KERNEL,
            wakeup_watermark=self._ring_bytes // 2,
            clock=_CLOCK_MONOTONIC,
            sample_max_stack=self.depth,
        )
        try:
            return system_call(
                _SYS_PERF_EVENT_OPEN, ctypes.c_void_p(ctypes.addressof(attributes)), tid, cpu, -1, _OPEN_FLAGS
            )
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise


class _Ring:
    """What the kernel writes samples into, and we take them out of."""

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        with ExitStack() as undo:
            # Of our own, as the event that it was opened by goes with its thread.
            self.descriptor = os.dup(descriptor)
            undo.callback(os.close, self.descriptor)
            self._map = _mapped(self.descriptor, size_bytes)
            undo.pop_all()
        self._counters = np.frombuffer(self._map, np.uint64, PAGE_SIZE // 8)
        self._words = np.frombuffer(self._map, np.uint64, (len(self._map) - PAGE_SIZE) // 8, PAGE_SIZE)

    def take(self) -> U64Array:
        """A copy of what is in it, whole records; it is empty then."""
        # The kernel writes records before it moves the head. Between our reads of both lie so many
        # instructions of the interpreter, and locks of its own, that the second cannot come first.
        head, tail = int(self._counters[_HEAD_AT // 8]), int(self._counters[_TAIL_AT // 8])
        count = (head - tail) // 8
        first = tail // 8 % len(self._words)
        piece = self._words[first : first + count]
        taken = (
            piece.copy()
            if len(piece) == count
            else np.concatenate((piece, self._words[: count - len(piece)]))
        )
        self._counters[_TAIL_AT // 8] = head
        return taken

    def close(self) -> None:
        """Unmap it."""
        del self._counters, self._words
        self._map.close()
        os.close(self.descriptor)


def _mapped(descriptor: int, size_bytes: int) -> mmap.mmap:
    """A ring of this size; a smaller one where a user may not lock so much (kernel.perf_event_mlock_kb)."""
    while True:
        try:
            protection = mmap.PROT_READ | mmap.PROT_WRITE
            return mmap.mmap(descriptor, PAGE_SIZE + size_bytes, mmap.MAP_SHARED, protection)
        except PermissionError:
            if size_bytes <= _SMALLEST_RING_BYTES:
                raise
            size_bytes //= 2


def parse(words: U64Array, depth: int) -> Faults:
    """The samples among records, as a ring has them.

    Args:
        words: whole records.
        depth: how many instructions of each chain to return.
    """
    begins, lost = _samples(words)
    owners = words[begins + 2]
    return Faults(
        words[begins + 3].astype(np.int64),
        (owners & np.uint64(0xFFFFFFFF)).astype(np.int32),
        (owners >> np.uint64(32)).astype(np.int32),
        words[begins + 4],
        _chains(words, begins, depth),
        lost,
    )


def _chains(words: U64Array, begins: NDArray[np.int64], depth: int) -> U64Array:
    """The user's part of the call chain of each sample."""
    lengths = words[begins + _FIXED_WORDS - 1].astype(np.int64)
    # The first entry says whose instructions follow; the kernel's are left out, so they are the user's.
    steps = np.arange(1, depth + 1)
    inside = steps < lengths[:, None]
    at = begins[:, None] + _FIXED_WORDS + np.where(inside, steps, 0)
    chains = words[np.minimum(at, len(words) - 1)]
    chains[~inside | (chains >= _FIRST_CONTEXT)] = 0
    has_none = (lengths < 2) | (words[np.minimum(begins + _FIXED_WORDS, len(words) - 1)] != _USER_CONTEXT)
    if has_none.any():
        chains[has_none] = 0
        chains[has_none, 0] = words[begins[has_none] + 1]
    return chains


def _samples(words: U64Array) -> tuple[NDArray[np.int64], int]:
    """Where samples begin, in words; and how many were lost."""
    kinds = words & np.uint64(0xFFFFFFFF)
    sizes = (words >> np.uint64(51)).astype(np.int64)
    candidates = np.flatnonzero(((kinds == _RECORD_SAMPLE) | (kinds == _RECORD_LOST)) & (sizes > 0))
    ends = candidates + sizes[candidates]
    if not len(candidates):
        fits = not len(words)
    else:
        fits = candidates[0] == 0 and ends[-1] == len(words) and np.array_equal(candidates[1:], ends[:-1])
    if not fits:
        candidates = _walk(words, sizes)
    kinds = kinds[candidates]
    lost = int(words[candidates[kinds == _RECORD_LOST] + 2].sum())
    return candidates[kinds == _RECORD_SAMPLE], lost


def _walk(words: U64Array, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where records begin, one after the other: for when there are others than we ask for."""
    begins: list[int] = []
    at = 0
    while at < len(words):
        begins.append(at)
        at += max(1, int(sizes[at]))
    return np.array(begins, np.int64)
