"""What a user may choose of CRIU's many options, and what they become in a request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from engine.checkpoint.criu.features import Criu
from engine.errors import NotSupported, TargetGone
from engine.images.proto import rpc_pb2
from engine.images.proto.rpc_pb2 import CriuOpts
from engine.kernel.process import read_stat, read_status
from engine.kernel.ptrace import already_traced


class PreDumpMode(Enum):
    """How a pre-dump takes pages out of the target."""

    SPLICE = "splice"
    """Lent to a pipe while it is stopped: all its pages, and as much memory again until they are written."""
    READ = "read"
    """Read once it runs again: stops it for less time, leaves out mappings that it may not read itself."""


class NetworkLock(Enum):
    """How packets of open TCP connections are kept away while they are saved."""

    AUTO = "auto"
    """Not at all, where CRIU can be told so (3.19)."""
    SKIP = "skip"
    IPTABLES = "iptables"
    NFTABLES = "nftables"


_PRE_DUMP_MODES = {PreDumpMode.SPLICE: rpc_pb2.SPLICE, PreDumpMode.READ: rpc_pb2.VM_READ}
_NETWORK_LOCKS = {
    NetworkLock.SKIP: rpc_pb2.SKIP,
    NetworkLock.IPTABLES: rpc_pb2.IPTABLES,
    NetworkLock.NFTABLES: rpc_pb2.NFTABLES,
}


@dataclass(frozen=True, slots=True)
class CriuOptions:
    """How the links of a chain are to be made; the same for all of them."""

    shell_job: bool = False
    """Save a target that is no session leader; it is restored into the session of the one who restores it."""
    tcp_established: bool = False
    """Save open TCP connections; without it they make a dump fail."""
    ext_unix_sk: bool = False
    """Save unix sockets whose other end is outside of the tree; that end is lost."""
    file_locks: bool = False
    """Save file locks; at restore nobody else may hold them."""
    ghost_limit_bytes: int | None = None
    """How large a deleted file that is still open may be; CRIU's own limit is 1 MiB."""
    pre_dump_mode: PreDumpMode = PreDumpMode.SPLICE
    network_lock: NetworkLock = NetworkLock.AUTO
    config_file: Path | None = None
    """A file of CRIU's options (criu.conf(5)), which overrules all others."""
    log_level: int = 2
    """1 errors, 2 warnings, 3 information, 4 everything; the more, the longer the target is stopped."""

    def require_possible(self, criu: Criu) -> None:
        """Make sure that this CRIU can do what is asked.

        Raises:
            NotSupported: it cannot.
        """
        if self.network_lock is NetworkLock.SKIP and not criu.can_skip_network_lock:
            raise NotSupported(
                f"criu {criu.version_text} cannot leave the network unlocked: 3.19 is the first that can",
                hint="leave `--network-lock` at auto: no lock is taken where no connection is saved",
            )

    def to_message(self, criu: Criu) -> CriuOpts:
        """As part of a request; what differs from link to link is added by the caller, and `config_file`."""
        options = CriuOpts(
            images_dir_fd=-1,
            log_level=self.log_level,
            shell_job=self.shell_job,
            tcp_established=self.tcp_established,
            ext_unix_sk=self.ext_unix_sk,
            file_locks=self.file_locks,
            pre_dump_mode=_PRE_DUMP_MODES[self.pre_dump_mode],
        )
        if self.ghost_limit_bytes is not None:
            options.ghost_limit = self.ghost_limit_bytes
        lock = self.network_lock_of(criu)
        if lock in _NETWORK_LOCKS:
            options.network_lock = _NETWORK_LOCKS[lock]
        return options

    def network_lock_of(self, criu: Criu) -> NetworkLock:
        """Which one is asked for; AUTO if that is left to CRIU, which takes iptables."""
        is_needed = self.tcp_established or not criu.can_skip_network_lock
        return (
            NetworkLock.SKIP if self.network_lock is NetworkLock.AUTO and not is_needed else self.network_lock
        )


class ShellJobNeeded(NotSupported):
    """The target is bound to a session that is not its own; with `shell_job` it can be saved anyway."""


def needs_shell_job(pid: int) -> bool:
    """Whether a process is no session leader: then CRIU takes it only as a `shell_job`.

    CRIU itself finds out at the very end of a dump, with the memory written and tracking reset
    (criu/pstree.c).

    Raises:
        TargetGone: there is no such process.
    """
    stat = read_stat(pid)
    return stat.session != stat.pid


def require_session_leader(pid: int) -> None:
    """Refuse what CRIU would refuse only at the end.

    Raises:
        ShellJobNeeded: the process is no session leader.
        TargetGone: there is no such process.
    """
    if needs_shell_job(pid):
        raise ShellJobNeeded(
            f"process {pid} is not the leader of its session: it belongs to a shell or a terminal",
            pid=pid,
            hint="`--shell-job` saves it; when restored, it belongs to the terminal that restores it",
        )


def require_untraced(pid: int) -> None:
    """Make sure that nobody traces a process: CRIU could not, and would say less of who does.

    Raises:
        AlreadyTraced: somebody traces the process.
    """
    try:
        tracer = int(read_status(pid).get("TracerPid", "0"))
    except TargetGone:
        return
    if tracer:
        try:
            error = already_traced(pid, tracer)
        except TargetGone:
            return
        raise error
