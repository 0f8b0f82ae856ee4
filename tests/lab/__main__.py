"""`python -m tests.lab [KERNEL…] [-- PYTEST ARGUMENTS]`: the tests on other kernels."""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
import time
from collections.abc import Sequence
from typing import Final, TextIO

from tests.lab.commands import provide_tools
from tests.lab.places import ALL, GUESTS, HOST, LAB, PROJECT, LabError, results_directory
from tests.lab.provision import provide_host_criu, provide_image, provide_virtme
from tests.lab.report import KernelReport, as_markdown, merge, read_report, summary
from tests.lab.running import has_kvm, run_guest, run_host

_TABLE: Final = PROJECT / "docs/tested-on.md"
_MERGED: Final = LAB / "report.xml"


def main(arguments: Sequence[str]) -> int:
    """Run the lab; the exit code is 0 if every kernel reported and nothing failed."""
    ours, pytest_arguments = _split(arguments)
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help=f"of {', '.join(ALL)}; all by default")
    parser.add_argument("--no-kvm", action="store_true", help="emulate the CPU even where KVM works")
    parser.add_argument("--provision", action="store_true", help="only make what is missing, run nothing")
    options = parser.parse_args(ours)
    if unknown := set(options.kernels) - set(ALL):
        parser.error(f"no such kernel: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    names = [name for name in ALL if name in options.kernels or not options.kernels]
    LAB.mkdir(exist_ok=True)
    with (LAB / "lock").open("w") as lock:
        _take(lock)
        try:
            if options.provision:
                _provision(names)
                return 0
            provide_tools()
            kvm = not options.no_kvm and has_kvm()
            reports = [_run(name, pytest_arguments, kvm=kvm) for name in names]
        except LabError as error:
            print(f"lab: {error}", file=sys.stderr)
            return 1
    merge(reports, {name: results_directory(name) for name in names}, _MERGED)
    if names == list(ALL) and not pytest_arguments:
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
    for name in names:
        if name == HOST:
            provide_host_criu()
        else:
            provide_virtme()
            provide_image(GUESTS[name])


def _run(name: str, pytest_arguments: Sequence[str], *, kvm: bool) -> KernelReport:
    began_s = time.monotonic()
    if name == HOST:
        problem = run_host(pytest_arguments)
    else:
        print(f"{name}: booting, {'with KVM' if kvm else 'the CPU emulated'}", flush=True)
        problem = run_guest(GUESTS[name], pytest_arguments, kvm=kvm)
    report = read_report(name, results_directory(name), problem)
    print(f"{name}: {time.monotonic() - began_s:.0f} s", flush=True)
    return report


if __name__ == "__main__":
    # As an exception it ends the guest too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))
