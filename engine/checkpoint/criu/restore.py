"""Makes the processes of a CRIU dump again."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.checkpoint.criu.client import NoAnswer, Worker
from engine.checkpoint.criu.compatibility import require_not_older
from engine.checkpoint.criu.config_file import Use
from engine.checkpoint.criu.directory import LOG
from engine.checkpoint.criu.features import Criu, examine_criu
from engine.checkpoint.criu.log import Cause, find_cause
from engine.checkpoint.criu.mapped_root import let_mapped_root_read
from engine.checkpoint.criu.obeyed import write_config
from engine.errors import BadImage, DirtytopError, NotTrusted, TargetGone
from engine.images.chain import ImageChain, read_chain, require_sound
from engine.images.files import reading
from engine.images.framing import Magic, read_messages
from engine.images.layout import PSTREE, LinkKind
from engine.images.link import Link
from engine.images.ours import require_ours
from engine.images.proto.pstree_pb2 import PstreeEntry
from engine.images.proto.rpc_pb2 import RESTORE, CriuNotify, CriuOpts, CriuReq, CriuResp
from engine.kernel.process import ProcessStat, child_processes, read_stat
from engine.printable import printable
from engine.trust.directory import OpenDirectory
from engine.trust.private import PrivateDirectory

_POST_RESTORE: Final = "post-restore"
_PRE_RESUME: Final = "pre-resume"
_STOPPED: Final = "Tt"
_STOP_TIMEOUT_S: Final = 10.0
_REAPING_S: Final = 4.0
_INIT: Final = 1


class RestoreFailed(DirtytopError):
    """CRIU could not make the processes again; none of them is left."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A tree that runs again."""

    path: Path
    """The dump it was made from."""
    pid: int
    """Its root."""
    processes: int
    seconds: float
    is_stopped: bool

    def as_json(self) -> dict[str, Any]:
        """The stable form printed by `dirtytop restore --json`."""
        return {
            "path": str(self.path),
            "pid": self.pid,
            "processes": self.processes,
            "seconds": round(self.seconds, 6),
            "stopped": self.is_stopped,
        }


def restore(
    directory: Path,
    *,
    detach: bool = True,
    leave_stopped: bool = False,
    config_file: Path | None = None,
    criu: Criu | None = None,
    trusts_directory: bool = False,
) -> Restored:
    """Restore the dump in a directory. Its images are only read; their permissions may change.

    What is restored has the rights that the images name, root's too if they say so. So nobody but root and us
    may be able to change them, unless these others are trusted with that.

    What the dump needed of CRIU's options (`shell_job` and the like) is seen in the images and set.

    Args:
        directory: a link, or a directory that holds links 1, 2, …, of which the newest is meant.
        detach: leave the tree to init; otherwise its root becomes our child.
        leave_stopped: stop the tree by SIGSTOP before it runs its first instruction.
        config_file: a file of CRIU's options, which overrules all others.
        criu: which one; None finds it.
        trusts_directory: whether others may be able to change the images.

    Raises:
        NotTrusted: others can change the images, and are not trusted.
        BadImage: there is nothing to restore from, or the chain is not sound.
        UnknownFormat: it is newer than what we understand.
        NotSupported: there is no CRIU, it does not work here, or it is older than the one that made the dump.
        NotPermitted: we are not root.
        RestoreFailed: a pid is taken, or CRIU failed; the message says why, and where its log is.
    """
    began_s = time.perf_counter()
    chain = read_chain(directory)
    is_ours = True
    try:
        require_ours(chain)
    except NotTrusted:
        if not trusts_directory:
            raise
        is_ours = False
    dump = _require_restorable(chain)
    found = require_sound(chain)
    tree = read_messages(dump.path / PSTREE, Magic.PSTREE, PstreeEntry)
    criu = criu or examine_criu()
    criu.require_dump()
    require_not_older(criu, dump, found)
    _require_free(tree)
    if is_ours:  # in a directory of somebody else's, he would have us give rights to something else
        let_mapped_root_read(chain)
    pid = _Restoration(criu, dump, tree, config_file, detach, leave_stopped).run()
    if leave_stopped:
        _wait_stopped(pid)
    return Restored(
        path=dump.path,
        pid=pid,
        processes=len(tree),
        seconds=time.perf_counter() - began_s,
        is_stopped=leave_stopped,
    )


def _require_restorable(chain: ImageChain) -> Link:
    """The dump at the end of a chain, if CRIU would take it. Raises BadImage."""
    dump = chain.links[-1]
    shown = printable(str(dump.path))
    if dump.kind is LinkKind.PRE_DUMP:
        raise BadImage(
            f"{shown} is a pre-dump: it holds memory and nothing else, and cannot be restored",
            hint="a chain is restored from the dump at its end",
        )
    if not dump.restorable:
        raise BadImage(
            f"{shown} is a dump of memory and registers, without open files: it cannot be restored from",
            hint="`dirtytop checkpoint --engine criu` makes dumps that can",
        )
    return dump


def _require_free(tree: list[PstreeEntry]) -> None:
    """Make sure that the pids of the tree are not taken. Raises RestoreFailed."""
    if tree[0].pid == _INIT:  # it gets a pid namespace of its own
        return
    deadline_s = time.monotonic() + _REAPING_S
    for tid in [tid for task in tree for tid in dict.fromkeys((task.pid, *task.threads))]:
        # Orphans are init's to wait for, and some take their time over it.
        while (found := _living_or_dead(tid)) and found.is_dead and found.parent_pid == _INIT:
            if time.monotonic() > deadline_s:
                break
            time.sleep(0.01)
        if found and found.is_dead:
            raise RestoreFailed(
                f"pid {tid} is still taken: {found.command} is a zombie",
                hint=f"its parent, pid {found.parent_pid}, has to wait for it, or exit",
            )
        if found:
            raise RestoreFailed(
                f"pid {tid} is taken by {found.command}",
                hint="end it, or restore in a pid namespace of its own: "
                "`unshare --pid --fork --mount-proc dirtytop restore …`",
            )


def _living_or_dead(tid: int) -> ProcessStat | None:
    try:
        return read_stat(tid)
    except TargetGone:
        return None


class _Restoration:
    """One restore."""

    def __init__(
        self,
        criu: Criu,
        dump: Link,
        tree: list[PstreeEntry],
        config_file: Path | None,
        detach: bool,
        leave_stopped: bool,
    ) -> None:
        self._criu = criu
        self._dump = dump
        self._tree = tree
        self._config_file = config_file
        self._detach = detach
        self._leave_stopped = leave_stopped
        self._root = 0

    def run(self) -> int:
        """Restore it; the pid of its root."""
        with reading(self._dump.path):
            # Nobody else can have exchanged it, or is trusted with that.
            fd = os.open(self._dump.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with OpenDirectory(fd) as images, PrivateDirectory() as work:
            return self._ask(self._options(images, work), work)

    def _options(self, images: OpenDirectory, work: PrivateDirectory) -> CriuOpts:
        root = self._tree[0]
        names = self._dump.names
        options = CriuOpts(
            images_dir_fd=images.fileno(),
            work_dir_fd=work.fileno(),
            log_file=LOG,
            log_level=2,
            notify_scripts=True,
            rst_sibling=not self._detach,
            # The dump was refused without these where they are needed; now there is no choice any more.
            shell_job=root.sid != root.pid,
            tcp_established=any(name.startswith("tcp-stream-") for name in names),
            file_locks="filelocks.img" in names,
            ext_unix_sk=True,
            lazy_pages=False,
            auto_dedup=False,
        )
        config = write_config(work, Use.RESTORE, self._config_file)
        if config is not None:
            options.config_file = config
        return options

    def _ask(self, options: CriuOpts, work: PrivateDirectory) -> int:
        answer: CriuResp | None = None
        silence = ""
        with Worker(self._criu.program, work.path, on_our_terminal=options.shell_job) as worker:
            try:
                answer = worker.ask(CriuReq(type=RESTORE, opts=options), notified=self._approve)
            except NoAnswer as error:
                silence = error.message
            stderr = worker.stderr()
        if answer is not None and answer.success:
            return answer.restore.pid
        try:
            log = (work.path / LOG).read_bytes()
        except FileNotFoundError:
            log = b""
        said = find_cause(log, stderr, answer.cr_errmsg if answer is not None else "")
        cause = said or Cause(silence or "it does not say why", "")
        raise RestoreFailed(
            f"criu could not restore {printable(str(self._dump.path))}: {cause.text}"
            f"; its log is {printable(str(work.keep() / LOG))}",
            hint=cause.hint,
        )

    def _approve(self, notification: CriuNotify) -> bool:
        """Answer a notification: whether CRIU may go on."""
        if notification.script == _POST_RESTORE:
            self._root = notification.pid
        if notification.script == _PRE_RESUME and self._leave_stopped:
            # All of it is there, and waits to be let go by CRIU.
            for pid in (self._root, *(stat.pid for stat in child_processes({self._root}))):
                os.kill(pid, signal.SIGSTOP)
        return True


def _wait_stopped(root: int) -> None:
    """Until every process of a tree that was sent SIGSTOP has stopped.

    Raises:
        TargetGone: the root was killed meanwhile.
    """
    deadline_s = time.monotonic() + _STOP_TIMEOUT_S
    for pid in (root, *(stat.pid for stat in child_processes({root}))):
        while read_stat(pid).state not in _STOPPED and time.monotonic() < deadline_s:
            time.sleep(0.001)
