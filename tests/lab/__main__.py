"""`python -m tests.lab [KERNEL…] [-- PYTEST ARGUMENTS]`: the tests on other kernels."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TextIO

from tests.lab.commands import provide_tools
from tests.lab.inside import EXIT_CODE, arguments_for_bench, arguments_for_tests
from tests.lab.places import (
    ALL,
    DEB13,
    GUESTS,
    HOST,
    LAB,
    PROJECT,
    USUAL,
    WITH_CRIU,
    CannotProvision,
    LabError,
    results_directory,
)
from tests.lab.provision import has_host_roots, provide_host_criu, provide_host_programs, provide_image
from tests.lab.qemu import has_kvm, provide_qemu
from tests.lab.report import KernelReport, as_markdown, merge, read_report, summary
from tests.lab.running import STOPPING, run_guest, run_host
from tests.lab.turns import SHARES, part_in

CANNOT_PROVISION: Final = 3
"""The exit code where this machine cannot make the lab; nothing was tested then."""

_TABLE: Final = PROJECT / "docs/tested-on.md"
_MERGED: Final = LAB / "report.xml"
_AT_ONCE: Final = 2


def main(arguments: Sequence[str]) -> int:
    """Run the lab; the exit code is 0 if every kernel reported and nothing failed."""
    ours, pytest_arguments = _split(arguments)
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument(
        "kernels", nargs="*", metavar="KERNEL", help=f"of {', '.join(ALL)}; {', '.join(USUAL)} by default"
    )
    parser.add_argument("--no-kvm", action="store_true", help="emulate the CPU even where KVM works")
    parser.add_argument(
        "--every-batch", action="store_true", help="all tests that come in batches, everywhere"
    )
    parser.add_argument(
        "--turn",
        type=int,
        metavar="N",
        help=f"run one of {SHARES} shares of the tests on each emulated kernel, another one in the next turn",
    )
    parser.add_argument("--provision", action="store_true", help="only make what is missing, run nothing")
    parser.add_argument(
        "--host-programs",
        action="store_true",
        help="only make what tests on this machine's own kernel need besides: CRIU, and its crit",
    )
    parser.add_argument(
        "--bench", action="append", metavar="PART", help="measure a part of tests/bench instead"
    )
    options = parser.parse_args(ours)
    if unknown := set(options.kernels) - set(ALL):
        parser.error(f"no such kernel: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    names = [name for name in ALL if name in (options.kernels or USUAL)]
    LAB.mkdir(exist_ok=True)
    if options.host_programs and has_host_roots():
        provide_host_programs()  # which another lab may run beside
        return 0
    with (LAB / "lock").open("w") as lock:
        _take(lock)
        try:
            if options.host_programs:
                provide_tools()
                provide_host_programs()
                return 0
            _provision(names)
        except CannotProvision as why:
            print(f"lab: not run, as this machine cannot make it: {why}", file=sys.stderr, flush=True)
            return CANNOT_PROVISION
        except LabError as error:
            print(f"lab: {error}", file=sys.stderr)
            return 1
        if options.provision:
            return 0
        if options.bench:
            return _bench(names, arguments_for_bench(options.bench), no_kvm=options.no_kvm)
        if options.turn is not None:
            print(f"lab: turn {options.turn}", flush=True)
        reports = _run(names, pytest_arguments, options)
    merge(reports, {name: results_directory(name) for name in names}, _MERGED)
    if names == list(USUAL) and not pytest_arguments and options.turn is None:
        _TABLE.write_text(as_markdown(reports))
    for report in reports:
        print(f"\n{summary(report)}")
    return 0 if all(report.is_good for report in reports) else 1


def _take(lock: TextIO) -> None:
    """Wait for our turn: two labs at once would build over each other, and share two cores."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another lab is running in this checkout: waiting for it", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)


def _split(arguments: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What is for us, and what after `--` is for pytest."""
    if "--" not in arguments:
        return arguments, ()
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _provision(names: Sequence[str]) -> None:
    """Make what is missing, each beside the others: mostly one waits for the network."""
    guests = [GUESTS[name] for name in names if name != HOST]
    ours = [guest for guest in guests if guest.compiler is guest]
    foreign = [guest for guest in guests if guest.compiler is not guest]
    provide_tools({guest.architecture.c_compiler for guest in guests})
    if HOST in names and DEB13 not in ours:
        ours.append(DEB13)
    _make_all(
        [
            *(partial(provide_image, guest) for guest in ours),
            *(
                partial(provide_qemu, architecture)
                for architecture in {guest.architecture for guest in guests}
            ),
        ]
    )
    # Their roots are made with the help of those.
    _make_all([partial(provide_image, guest) for guest in foreign])


def _make_all(makes: Sequence[Callable[[], object]]) -> None:
    with ThreadPoolExecutor() as pool:
        for making in [pool.submit(make) for make in makes]:
            making.result()


def _run(
    names: Sequence[str], pytest_arguments: Sequence[str], options: argparse.Namespace
) -> list[KernelReport]:
    """Two kernels beside each other: alone, one leaves a core idle as it boots and as it ends."""
    workers = 1 if len(names) > 1 and (os.cpu_count() or 1) <= _AT_ONCE else _AT_ONCE

    def run(name: str) -> KernelReport:
        began_s = time.monotonic()
        machine = _Machine(name, no_kvm=options.no_kvm, cpus=workers)
        batch, share = ALL.index(name), None
        if options.turn is not None and machine.is_emulated:
            batch, share = part_in(options.turn, batch)
        in_batches = (machine.is_emulated or name == HOST) and not options.every_batch
        # Nowhere else is there a CRIU that works on the host's kernel.
        all_of = WITH_CRIU if name == HOST else ()
        report = machine.test(
            arguments_for_tests(
                machine.cpus, pytest_arguments, batch if in_batches else None, share=share, all_of=all_of
            )
        )
        print(f"{name}: {time.monotonic() - began_s:.0f} s", flush=True)
        return report

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            return list(pool.map(run, names))
        except BaseException:
            STOPPING.set()
            raise


def _bench(names: Sequence[str], arguments: Sequence[str], *, no_kvm: bool) -> int:
    """One kernel after the other, so that none disturbs what another measures; 0 if all came to their end."""
    for name in names:
        results = results_directory(name)
        problem = _Machine(name, no_kvm=no_kvm, cpus=_AT_ONCE).run(arguments, results)
        ended = results / EXIT_CODE
        if not problem and not (ended.exists() and ended.read_text() == "0"):
            problem = "it did not come to its end"
        if problem:
            print(f"lab: {name}: {problem}", file=sys.stderr)
            return 1
    return 0


class _Machine:
    """What runs one kernel: QEMU, with or without KVM, or nothing but the host itself."""

    def __init__(self, name: str, *, no_kvm: bool, cpus: int) -> None:
        self.name = name
        self.cpus = cpus
        self._guest = GUESTS.get(name)
        if self._guest is None:
            self.cpus = _AT_ONCE
            self._program = provide_host_criu()
            self._kvm = False
        else:
            self._program = provide_qemu(self._guest.architecture)
            self._kvm = not no_kvm and has_kvm(self._program, self._guest.architecture)

    @property
    def is_emulated(self) -> bool:
        """Whether its CPU is."""
        return self._guest is not None and not self._kvm

    def run(self, arguments: Sequence[str], results: Path) -> str:
        """Run `tests.lab.inside`; why there is nothing to trust, or ""."""
        if self._guest is None:
            return run_host(self._program, arguments, results)
        return run_guest(self._guest, self._program, arguments, results, kvm=self._kvm, cpus=self.cpus)

    def test(self, arguments: Sequence[str]) -> KernelReport:
        """Run tests."""
        if self.is_emulated:
            arguments = [*arguments, "-p", "tests.lab.emulated"]
        results = results_directory(self.name)
        return read_report(self.name, results, self.run(arguments, results))


if __name__ == "__main__":
    # As an exception it ends the guests too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))
