"""What pre-flight says of a process, against what CRIU then does with it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.log import find_cause
from engine.checkpoint.criu.options import CriuOptions
from engine.checkpoint.criu.told import dumper_of
from engine.preflight.dumper import Dumper
from engine.preflight.finding import Finding, Severity
from engine.preflight.judge import examine
from engine.preflight.rules import files, namespaces, processes, sockets
from tests.criu.outside import CANNOT, Held
from tests.targets.held.things import ASKED

RULES = {
    rule.key: rule
    for module in (files, namespaces, processes, sockets)
    for rule in vars(module).values()
    if hasattr(rule, "holds_for")
}

EXPECTED = {
    "nothing": "",
    "eventfd": "",
    "signalfd": "",
    "timerfd": "",
    "epoll": "",
    "epoll of a renumbered file": "",
    "epoll of a file that only a child has": "epoll-target",
    "inotify": "",
    "inotify in proc": "file-watch",
    "inotify of a deleted file in memory": "file-watch",
    "fanotify": "",
    "pidfd of itself": "pidfd",
    "pidfd of a child": "pidfd",
    "pidfd of its parent": "pidfd-outside",
    "pidfd of a thread": "pidfd-thread",
    "io uring": "io-uring",
    "io uring that is only mapped": "io-uring",
    "userfaultfd": "userfaultfd",
    "perf event": "kernel-object",
    "perf event that is only mapped": "kernel-mapping",
    "bpf hash map": "bpf-map",
    "bpf lru map": "bpf-map",
    "memfd": "",
    "memfd of huge pages": "memfd-huge",
    "secret memory": "memfd-secret",
    "secret memory that is only mapped": "memfd-secret",
    "landlock ruleset": "kernel-object",
    "file system not mounted yet": "kernel-object",
    "file of a detached mount": "mount-not-seen",
    "seccomp listener": "kernel-object",
    "seccomp filter": "",
    "namespace of its own by descriptor": "",
    "namespace that nobody is in": "namespace-file",
    "path only": "",
    "directory that was removed": "",
    "working directory that was removed": "",
    "small deleted file": "",
    "large deleted file": "deleted-file",
    "large deleted file that is only mapped": "deleted-file",
    "sparse deleted file": "deleted-file",
    "deleted name of a file with another": "deleted-name",
    "file that is called deleted": "",
    "file in whose place another is": "",
    "file in a renamed directory": "",
    "file that a mount hides": "hidden-name",
    "flock": "file-lock",
    "posix lock": "file-lock",
    "lease": "file-lock",
    "pipe": "",
    "half of a pipe": "",
    "pipe of packets": "packet-pipe",
    "many pipes": "many-pipes",
    "socket pair": "",
    "unix connection to outside": "unix-stream",
    "unix connection that outside does not accept": "",
    "unix datagrams to outside": "unix-datagrams",
    "unix socket that listens": "",
    "unix connection not accepted yet": "",
    "unix connection not accepted and closed": "unix-queue",
    "unix connection whose other end is closed": "",
    "tcp socket": "network-socket",
    "tcp socket that listens": "network-socket",
    "tcp connection": "tcp-connection",
    "tcp connection not accepted yet": "tcp-queue",
    "udp socket": "network-socket",
    "raw socket": "network-socket",
    "ping socket": "ping-socket",
    "sctp socket": "socket-protocol",
    "mptcp socket": "mptcp",
    "vsock": "socket-family",
    "crypto socket": "socket-family",
    "xdp socket": "socket-family",
    "packet socket": "network-socket",
    "packet socket that is only mapped": "mapped-socket",
    "netlink socket": "",
    "netlink socket with messages": "netlink-data",
    "netlink socket of a high group": "netlink-groups",
    "dev null": "",
    "dev null of a detached mount": "mount-not-seen",
    "dev full": "",
    "dev random": "",
    "dev fuse": "device",
    "dev net tun": "tun",
    "dev loop control": "device",
    "dev loop0": "device",
    "dev zero mapped": "",
    "pseudo terminal": "",
    "terminal that was closed": "",
    "terminal of outside": "terminal",
    "two terminals of outside": "terminals",
    "its own terminal by another name": "controlling-terminal",
    "guard region": "guard-region",
    "guard region in much memory": "guard-region",
    "guard region in memory never written": "guard-region",
    "guard region in unreadable memory": "guard-region",
    "guard region in a private file mapping": "guard-region",
    "guard region in a shared file mapping": "",
    "guard region in shared memory": "",
    "droppable memory": "",
    "aio ring": "",
    "system v memory": "sysv-memory",
    "shared memory": "",
    "huge pages": "",
    "zombie": "",
    "stopped child": "",
    "child whose first thread has ended": "leader-exited",
    "child that waits for a vfork": "shared-address-space",
    "child in the same memory": "shared-address-space",
    "child in the same directory": "shared-directories",
    "child with the same descriptors": "",
    "traced child": "traced",
    "pending sigtrap": "pending-sigtrap",
    "another user": "limits",
    "timers": "",
    "cpu affinity": "",
    "io priority": "",
    "timer slack": "",
    "core dump filter": "",
    "personality": "",
    "thread in another network": "",
    "no new privileges": "",
    "deadline scheduling": "",
    "child in another user namespace": "nested-namespace",
    "child in another network": "",
    "child in another mount namespace": "",
    "child in another uts namespace": "nested-namespace",
    "child in another ipc namespace": "nested-namespace",
    "child in another cgroup namespace": "nested-namespace",
    "child whose children have another time": "nested-namespace",
    "child in another pid namespace": "nested-namespace",
    "network of its own": "",
    "hostname of its own": "",
    "ipc of its own": "",
    "system v memory in ipc of its own": "",
    "mounts of its own since just now": "mount-not-seen",
    "user namespace that maps nobody": "user-namespace-without-root",
    "network that belongs to other users": "namespace-of-other-owner",
}
"""What each thing falls under; of that which makes no dump fail, nothing."""

DEPENDS = ("bpf-map", "limits", "network-socket", "guard-region", "deleted-file", "memfd-huge")
"""What is also due to this kernel, to how CRIU was built, or to our rights."""


HALVES = [(number % 2, kind, key) for number, (kind, key) in enumerate(EXPECTED.items())]
"""In batches: of these each emulated kernel tries one."""


def told(criu: Criu) -> Dumper:
    return dumper_of(criu, CriuOptions())


def why_dump_fails(criu: Criu, pid: int, images: Path, *more: str) -> str:
    """What CRIU says; nothing if it makes a dump. The target runs on."""
    images.mkdir()
    command = [
        str(criu.program),
        "dump",
        "-t",
        str(pid),
        "-D",
        str(images),
        "-o",
        "log",
        "--timeout",
        "5",
        *more,
    ]
    if criu.can_skip_network_lock:
        command += ["--network-lock", "skip"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode == 0:
        return ""
    log = images / "log"
    cause = find_cause(log.read_bytes() if log.exists() else b"", done.stderr)
    return cause.text if cause else f"exit code {done.returncode}"


@pytest.fixture
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Held]:
    """A process that holds the thing that the test is called with."""
    with Held(request.param, tmp_path) as target:
        if target.first_answer.startswith(CANNOT):
            pytest.skip(f"this kernel has none: {target.first_answer.removeprefix(CANNOT)}")
        yield target


@pytest.mark.parametrize(("first", "held", "key"), HALVES, indirect=["held"], ids=EXPECTED.keys())
def test_the_verdict_is_what_criu_then_does(
    criu: Criu, first: int, held: Held, key: str, tmp_path: Path
) -> None:
    findings = examine(held.pid, told(criu))
    if key and key not in DEPENDS and RULES[key].holds_for(criu.version):
        assert key in {finding.key for finding in findings}
    said = [finding.text for finding in findings if _fails(finding)]
    why = why_dump_fails(criu, held.pid, tmp_path / "images", "--leave-running")
    assert bool(said) is bool(why), (said, why)


def _fails(finding: Finding) -> bool:
    return finding.severity in (Severity.BLOCKS, Severity.OPTION)


OPTIONS = {
    "terminal of outside": "shell-job",
    "flock": "file-locks",
    "unix datagrams to outside": "ext-unix-sk",
    "tcp connection": "tcp-established",
    "tcp connection not accepted yet": "skip-in-flight",
    "deleted name of a file with another": "link-remap",
    "large deleted file": "ghost-limit 4M",
}
"""With which a thing is saved after all."""


@pytest.mark.spread
@pytest.mark.parametrize(("held", "option"), OPTIONS.items(), indirect=["held"], ids=OPTIONS.keys())
def test_with_the_option_that_a_finding_asks_for_the_verdict_and_the_dump_are_others(
    criu: Criu, held: Held, option: str, tmp_path: Path
) -> None:
    before = examine(held.pid, told(criu))
    asked_for = {finding.option for finding in before if finding.severity is Severity.OPTION}
    assert asked_for & {option, ""}
    config = tmp_path / "criu.conf"
    config.write_text(f"# only this\n{option}  # is on\n")
    findings = examine(held.pid, dumper_of(criu, CriuOptions(config_file=config)))
    assert not {finding.option for finding in findings if _fails(finding)} & {option}
    said = [finding.text for finding in findings if _fails(finding)]
    why = why_dump_fails(criu, held.pid, tmp_path / "images", "--leave-running", "--config", str(config))
    assert bool(said) is bool(why), (said, why)


UNRESTORABLE = (
    "child in another network",
    "child in another mount namespace",
    "unix connection that outside does not accept",
    "deadline scheduling",
)


@pytest.mark.spread
@pytest.mark.usefixtures("orphans_are_ours")
@pytest.mark.parametrize("held", UNRESTORABLE, indirect=True)
def test_what_is_said_to_be_dumped_and_not_to_be_restored_is_not(
    criu: Criu, held: Held, tmp_path: Path
) -> None:
    findings = examine(held.pid, told(criu))
    if blocking := [finding.text for finding in findings if _fails(finding)]:
        pytest.skip(f"on this machine it is not even dumped: {blocking[0]}")
    assert Severity.UNRESTORABLE in {finding.severity for finding in findings}
    images = tmp_path / "images"
    assert why_dump_fails(criu, held.pid, images) == ""
    held.bury()
    assert not _is_restored(criu, images)


@pytest.mark.spread
@pytest.mark.usefixtures("orphans_are_ours")
@pytest.mark.parametrize("held", ASKED, indirect=True)
def test_what_is_said_not_to_be_saved_is_not_there_after_a_restore(
    criu: Criu, held: Held, tmp_path: Path
) -> None:
    before = held.ask()
    findings = examine(held.pid, told(criu))
    images = tmp_path / "images"
    assert why_dump_fails(criu, held.pid, images) == ""
    held.bury()
    assert _is_restored(criu, images)
    is_lost = held.ask() != before
    assert is_lost is (Severity.LOST in {finding.severity for finding in findings})


def _is_restored(criu: Criu, images: Path) -> bool:
    command = [str(criu.program), "restore", "-D", str(images), "-o", "restore.log", "--restore-detached"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0
