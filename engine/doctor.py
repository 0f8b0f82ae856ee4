"""What works on this machine, why the rest does not, and what to do about it."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from engine.checkpoint.criu.features import VARIABLE, examine_criu, find_criu
from engine.errors import LinkFailed, NotPermitted, NotSupported, NotTrusted
from engine.pageset import PAGE_SIZE
from engine.printable import printable
from engine.privileges import may_look_into_others, may_trace_others, read_setting, relevant_capabilities
from engine.tracking.probe import Support, TrackerSupport, probe
from engine.tracking.sample import TrackerKind
from engine.tracking.trackers import abilities_of

_HUGE_PAGES: Final = "/sys/kernel/mm/transparent_hugepage/enabled"
_INITIAL_PID_NAMESPACE: Final = "pid:[4026531836]"  # PROC_PID_INIT_INO of include/linux/proc_ns.h
_KNOWN_MACHINES: Final = ("x86_64", "aarch64")


class Status(Enum):
    """How well something works here."""

    WORKS = "works"
    LIMITED = "limited"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; all text is printable."""

    name: str
    status: Status
    text: str
    """What was found."""
    hint: str = ""
    """What to do about it, if there is something to do."""

    def as_json(self) -> dict[str, str]:
        """The stable form printed by `dirtytop doctor --json`."""
        return {"name": self.name, "status": self.status.value, "text": self.text, "hint": self.hint}


@dataclass(frozen=True, slots=True)
class Report:
    """Everything `examine` found."""

    kernel: str
    machine: str
    page_bytes: int
    tracker: TrackerKind | None
    """What `auto` picks; None where nothing works."""
    findings: tuple[Finding, ...]

    def finding(self, name: str) -> Finding:
        """The finding of this name. Raises KeyError."""
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise KeyError(name)

    def as_json(self) -> dict[str, Any]:
        """The stable form printed by `dirtytop doctor --json`."""
        return {
            "schema": 1,
            "kernel": self.kernel,
            "machine": self.machine,
            "page_bytes": self.page_bytes,
            "tracker": self.tracker.value if self.tracker else None,
            "findings": [finding.as_json() for finding in self.findings],
        }


def examine() -> Report:
    """Look at everything that matters, by trying it where that can be done."""
    support = probe()
    try:
        best = support.best()
    except NotSupported:
        best = None
    return Report(
        kernel=printable(platform.release()),
        machine=printable(platform.machine()),
        page_bytes=PAGE_SIZE,
        tracker=best,
        findings=(
            _kernel(),
            *_trackers(support, best),
            _pagemap_scan(support.pagemap_scan),
            _privileges(),
            _ptrace_scope(read_setting("kernel/yama/ptrace_scope")),
            _userfaultfd(read_setting("vm/unprivileged_userfaultfd")),
            _criu(best),
            Finding("page size", Status.WORKS, f"{PAGE_SIZE:,} bytes"),
            _huge_pages(best),
            _pid_namespace(),
        ),
    )


def _kernel() -> Finding:
    machine = printable(platform.machine())
    text = f"Linux {printable(platform.release())} on {machine}"
    if machine in _KNOWN_MACHINES:
        return Finding("kernel", Status.WORKS, text)
    return Finding("kernel", Status.LIMITED, text, f"only soft-dirty is known to work on {machine}")


def _trackers(support: Support, best: TrackerKind | None) -> tuple[Finding, ...]:
    soft_dirty = "needs a kernel built with CONFIG_MEM_SOFT_DIRTY (Debian and Ubuntu build it in)"
    write_protect = "needs Linux 6.7 or newer with CONFIG_USERFAULTFD"
    if best is not None:
        soft_dirty = f"nothing to do: {best.value} sees the same writes"
        write_protect = f"nothing to do: {best.value} sees the same writes"
    return (
        _tracker(TrackerKind.SOFT_DIRTY, support.soft_dirty, best, soft_dirty),
        _tracker(TrackerKind.WRITE_PROTECT, support.write_protect, best, write_protect),
    )


def _tracker(kind: TrackerKind, support: TrackerSupport, best: TrackerKind | None, hint: str) -> Finding:
    if support.works:
        picked = "; `auto` picks it" if kind is best else ""
        return Finding(kind.value, Status.WORKS, f"tried: a write showed{picked}")
    return Finding(kind.value, Status.MISSING, printable(support.reason), hint)


def _pagemap_scan(support: TrackerSupport) -> Finding:
    if support.works:
        return Finding("PAGEMAP_SCAN", Status.WORKS, "the kernel lists written pages itself")
    return Finding(
        "PAGEMAP_SCAN",
        Status.MISSING,
        printable(support.reason),
        "dirtytop reads /proc/PID/pagemap instead, which is slower; Linux 6.7 has the ioctl",
    )


def _privileges() -> Finding:
    names = ", ".join(relevant_capabilities()) or "no capability that matters here"
    user = "root" if os.geteuid() == 0 else f"user {os.geteuid()}"
    text = f"{user}, with {names}"
    if not may_look_into_others():
        hint = (
            "other users' processes need root, or CAP_SYS_PTRACE with CAP_DAC_READ_SEARCH: docs/privileges.md"
        )
        return Finding("privileges", Status.LIMITED, text, hint)
    if os.geteuid() != 0:
        return Finding(
            "privileges", Status.WORKS, f"{text}: enough to watch others' processes and save their memory"
        )
    return Finding("privileges", Status.WORKS, text)


def _ptrace_scope(scope: int | None) -> Finding:
    name = "ptrace scope"
    if scope is None:
        return Finding(name, Status.WORKS, "Yama is not active")
    text = {
        0: "0: any of your own processes",
        1: "1: only your own children",
        2: "2: only with CAP_SYS_PTRACE",
    }.get(scope, f"{scope}: nobody may trace, not even root, until the machine is restarted")
    if scope > 2:
        return Finding(
            name, Status.MISSING, text, "set kernel.yama.ptrace_scope in /etc/sysctl.d and restart"
        )
    if scope == 0 or may_trace_others():
        return Finding(name, Status.WORKS, text)
    return Finding(name, Status.LIMITED, text, "run as root, or `sysctl kernel.yama.ptrace_scope=0`")


def _userfaultfd(unprivileged: int | None) -> Finding:
    name = "userfaultfd"
    if unprivileged is None:
        return Finding(
            name,
            Status.MISSING,
            "no vm.unprivileged_userfaultfd: a kernel without userfaultfd, or older than 5.2",
            "write-protect needs Linux 6.7 with CONFIG_USERFAULTFD",
        )
    return Finding(
        name,
        Status.WORKS,
        f"vm.unprivileged_userfaultfd={unprivileged}; either value will do, as only user-mode faults are "
        "asked for",
    )


def _criu(best: TrackerKind | None) -> Finding:
    name = "CRIU"
    try:
        criu = examine_criu()
    except NotSupported as error:
        hint = f"only needed for checkpoints that can be restored: {error.hint}"
        return Finding(name, Status.MISSING, error.message, hint)
    except (NotTrusted, LinkFailed) as error:
        return Finding(name, Status.MISSING, error.message, error.hint)
    except NotPermitted:
        return Finding(
            name, Status.LIMITED, f"{printable(str(find_criu()))}, which needs root", "`sudo dirtytop`"
        )
    text = f"{criu.version_text} at {printable(str(criu.program))}"
    if criu.why_not:
        return Finding(
            name,
            Status.MISSING,
            f"{text} does not work on this kernel: {printable(criu.why_not)}",
            "a newer one may work: `apt install criu` of a newer release, or name it in the variable "
            f"{VARIABLE}",
        )
    if not criu.has_memory_tracking:
        return Finding(
            name,
            Status.LIMITED,
            f"{text}: dumps and restores, but no pre-dumps: this kernel has no soft-dirty bits",
            "`checkpoint --engine spliced` makes dirtytop's own pre-dumps, and a dump that can be restored"
            if best is not None
            else "`checkpoint --engine criu --pre-dumps 0` makes a dump that can be restored",
        )
    return Finding(name, Status.WORKS, f"{text}: pre-dumps, dumps and restores")


def _huge_pages(best: TrackerKind | None) -> Finding:
    name = "huge pages"
    try:
        with open(_HUGE_PAGES) as file:
            modes = file.read()
    except FileNotFoundError:
        return Finding(name, Status.WORKS, "this kernel has no transparent huge pages")
    chosen = re.search(r"\[(\w+)\]", modes)
    mode = chosen[1] if chosen else printable(modes.strip())
    text = f"transparent huge pages: {mode}"
    if mode == "always" and best is not None and abilities_of(best).counts_whole_huge_pages:
        return Finding(
            name,
            Status.LIMITED,
            f"{text}; one write to a huge page shows as all of its pages written",
            "`--tracker write-protect`, where it works, counts single pages",
        )
    return Finding(name, Status.WORKS, text)


def _pid_namespace() -> Finding:
    if os.readlink("/proc/self/ns/pid") == _INITIAL_PID_NAMESPACE:
        return Finding("pid namespace", Status.WORKS, "the machine's own: every process can be seen")
    return Finding(
        "pid namespace",
        Status.LIMITED,
        "a container's: only its processes can be seen, under the pids that they have in it",
        "run dirtytop outside to see all",
    )
