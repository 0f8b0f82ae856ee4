"""A `criu swrk` process of our own: one request, its notifications, its answer (criu/cr-service.c).

The messages are those of images/proto/rpc.proto, one a packet of a SOCK_SEQPACKET socket. CRIU runs in
a session of its own, so that Ctrl-C on our terminal does not end it in the middle of its work, and
what it says on stderr goes into a file: that is where errors are told that come before its log.

Giving up is the delicate part. While CRIU works, the target runs CRIU's code with CRIU's registers. Of
fifteen that were killed with SIGKILL in the middle of a dump, one took its target along, and most left
mappings in it. So CRIU is never killed over its work: the size of files that it may write is set to
zero, its next write fails, and it undoes everything on its own way out.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from google.protobuf.message import DecodeError

from engine.checkpoint.criu.obeyed import criu_environment
from engine.errors import DirtytopError, NotSupported, TargetGone
from engine.images.files import writing
from engine.images.proto.rpc_pb2 import NOTIFY, RESTORE, CriuNotify, CriuReq, CriuResp
from engine.kernel.process import child_processes
from engine.kernel.seccomp import IoctlCall, Listener, asking_command, receive_listener
from engine.printable import printable

STDERR: Final = "criu.stderr"
"""In the work directory: what CRIU said outside of its log."""

_LARGEST_PACKET: Final = 1 << 20
"""Beyond what a socket buffer lets through by default."""
_WATCH_EVERY_S: Final = 0.05
_MOST_STDERR_BYTES: Final = 64 << 10

Notified = Callable[[CriuNotify], bool]
"""Told of each notification; whether CRIU may go on."""
Watch = Callable[[], None]
"""Called again and again while CRIU works; what it raises makes us give up."""


class Overseer(Protocol):
    """Whom CRIU has to ask before each `ioctl` of one kind."""

    @property
    def request(self) -> int:
        """Which kind."""
        ...

    def decide(self, call: IoctlCall) -> int | None:
        """What the call returns instead of being made; None lets it through."""
        ...


class NoAnswer(DirtytopError):
    """CRIU ended, or fell silent, instead of answering."""


def _go_on(notification: CriuNotify) -> bool:
    return True


def _nothing() -> None:
    """Nobody wants to know."""


class Worker:
    """A running `criu swrk`, from `with` to the end of it; it is not to outlive us half done."""

    def __init__(
        self,
        program: Path,
        work_directory: Path,
        *,
        inherited: tuple[int, ...] = (),
        on_our_terminal: bool = False,
        overseer: Overseer | None = None,
    ) -> None:
        """Nothing is started before `with`.

        Args:
            program: CRIU.
            work_directory: where it is started, and leaves what it says on stderr.
            inherited: descriptors that stay open for as long as it lives, whatever becomes of us.
            on_our_terminal: whether it shares our session and standard input.
            overseer: whom it has to ask; where the kernel cannot make it ask, it does not.
        """
        self._program = program
        self._work_directory = work_directory
        self._inherited = inherited
        self._on_our_terminal = on_our_terminal
        self._overseer = overseer
        self._listener: Listener | None = None
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            NotSupported: the program cannot be run.
            NotTrusted: it would obey what others can write.
            LinkFailed: there is no room for what it says.
        """
        environment = criu_environment()
        with writing(self._work_directory / STDERR, "make it"):
            stderr = os.open(
                self._work_directory / STDERR, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
            )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        hears, tells = socket.socketpair()
        with theirs, hears, tells:
            program, inherited = [str(self._program)], [theirs.fileno(), *self._inherited]
            if self._overseer is not None:
                program = asking_command(tells, self._overseer.request, self._program)
                inherited.append(tells.fileno())
            try:
                self._process = subprocess.Popen(
                    [*program, "swrk", str(theirs.fileno())],
                    stdin=None if self._on_our_terminal else subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    pass_fds=inherited,
                    cwd=self._work_directory,
                    env=environment,
                    start_new_session=not self._on_our_terminal,
                    umask=0o077,
                    # Python ignores SIGXFSZ, and so has CRIU to: see `_hinder_writing`.
                    restore_signals=False,
                )
            except OSError as error:
                ours.close()
                raise NotSupported(
                    f"{printable(str(self._program))} cannot be run ({os.strerror(error.errno or 0)})"
                ) from error
            finally:
                os.close(stderr)
            if self._overseer is not None:
                tells.close()
                self._listener = receive_listener(hears)
        self._socket = ours
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up, and wait for its end."""
        assert self._socket is not None
        assert self._process is not None
        self._socket.close()
        self._stop_listening()
        self._process.wait()

    def ask(
        self,
        request: CriuReq,
        *,
        notified: Notified = _go_on,
        watch: Watch = _nothing,
        timeout_s: float | None = None,
    ) -> CriuResp:
        """Send a request and wait for its answer, which may be that it failed.

        Args:
            request: what to do.
            notified: told of notifications (`notify_scripts`); CRIU waits meanwhile.
            watch: called some twenty times a second. If it raises anything, the work is given up, and
                what it raised is raised again once CRIU has put everything back.
            timeout_s: how long to wait for the answer to a question; then CRIU is killed. Not to be
                used for anything that it does to a target.

        Raises:
            NoAnswer: CRIU has ended, by itself or by somebody's signal, or takes too long.
        """
        assert self._process is not None
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            self._send(request)
            return self._wait_for_answer(notified, watch, deadline_s)
        except BaseException:
            if timeout_s is not None:
                self._process.kill()
            elif request.type != RESTORE:  # what that has forked is the target itself
                self._give_up()
            raise

    def stderr(self) -> bytes:
        """The end of what it said on stderr."""
        with open(self._work_directory / STDERR, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _MOST_STDERR_BYTES))
            return file.read()

    # -- packets

    def _send(self, request: CriuReq) -> None:
        assert self._socket is not None
        try:
            self._socket.send(request.SerializeToString())
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._silence() from error

    def _receive(self, timeout_s: float) -> CriuResp | None:
        """The next message; None if none came in time. Raises NoAnswer."""
        assert self._socket is not None
        if not self._wait_for_packet(self._socket, timeout_s):
            return None
        try:
            data, _, flags, _ = self._socket.recvmsg(_LARGEST_PACKET)
        except ConnectionResetError as error:
            raise self._silence() from error
        if not data:
            raise self._silence()
        try:
            message = CriuResp.FromString(data)
        except DecodeError as error:
            raise NoAnswer("criu answered what is no message of its protocol") from error
        if flags & socket.MSG_TRUNC or not message.IsInitialized():
            raise NoAnswer("criu answered what is no message of its protocol")
        return message

    def _wait_for_answer(self, notified: Notified, watch: Watch, deadline_s: float | None) -> CriuResp:
        while True:
            message = self._receive(_WATCH_EVERY_S)
            if message is None:
                watch()
                if deadline_s is not None and time.monotonic() > deadline_s:
                    raise NoAnswer("criu does not answer")
            elif message.type == NOTIFY:
                may_go_on = False
                try:
                    may_go_on = notified(message.notify)
                finally:
                    self._send(CriuReq(type=NOTIFY, notify_success=may_go_on))
            else:
                return message

    def _wait_for_packet(self, connection: socket.socket, timeout_s: float) -> bool:
        """Whether there is one; whoever asks meanwhile is answered."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            if self._listener is not None:
                poll.register(self._listener, select.POLLIN)
            events = dict(poll.poll(max(0.0, deadline_s - time.monotonic()) * 1e3))
            if self._listener is not None and (event := events.pop(self._listener.fileno(), 0)):
                if event & select.POLLIN:
                    self._oversee(self._listener)
                else:  # everybody who could ask has ended
                    self._stop_listening()
            if events or time.monotonic() >= deadline_s:
                return bool(events)

    def _oversee(self, listener: Listener) -> None:
        """Answer one call that waits for us."""
        assert self._overseer is not None
        call = listener.receive()
        if call is None:
            return
        result = self._overseer.decide(call)
        if result is None:
            listener.let_through(call)
        else:
            listener.answer(call, result)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _silence(self) -> NoAnswer:
        assert self._process is not None
        code = self._process.wait()
        if code < 0:
            return NoAnswer(f"criu was killed by {signal.Signals(-code).name}")
        return NoAnswer(f"criu ended without an answer (exit code {code})")

    # -- giving up

    def _give_up(self) -> None:
        """Make CRIU fail, and wait until it has put the target back as it was."""
        while True:
            self._hinder_writing()
            try:
                message = self._receive(_WATCH_EVERY_S)
                if message is None:
                    continue
                if message.type != NOTIFY:
                    return
                self._send(CriuReq(type=NOTIFY, notify_success=message.notify.script != "post-dump"))
            except NoAnswer:
                return

    def _hinder_writing(self) -> None:
        """Let every further write to a file fail with EFBIG."""
        for pid in self._pids():
            try:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))
            except ProcessLookupError:
                continue

    def _pids(self) -> list[int]:
        """CRIU, and what it has forked (a pre-dump runs in a child of its)."""
        assert self._process is not None
        if self._process.poll() is not None:
            return []
        pid = self._process.pid
        try:
            return [*(stat.pid for stat in child_processes({pid})), pid]
        except TargetGone:
            return [pid]
