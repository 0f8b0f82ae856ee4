"""A `criu swrk` process of our own: one request, its notifications, its answer (criu/cr-service.c).

The messages are those of images/proto/rpc.proto, one a packet of a SOCK_SEQPACKET socket. CRIU runs in
a session of its own, so that Ctrl-C on our terminal does not end it in the middle of its work, and
what it says on stderr goes into a file: that is where errors are told that come before its log.

Giving up is the delicate part: while CRIU works, the target runs CRIU's code with CRIU's registers. What
is done about it is told in `engine.checkpoint.criu.letting_go`. It is for us to refuse what CRIU asks
meanwhile; should we be killed, a guardian does the rest.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from google.protobuf.message import DecodeError

from engine.checkpoint.criu.guard import Guard
from engine.checkpoint.criu.letting_go import PATIENCE, LettingGo, Patience
from engine.checkpoint.criu.obeyed import criu_environment
from engine.checkpoint.criu.questions import Overseer, Questions, hear_listener, wait_for_packet
from engine.checkpoint.criu.remains import clear_remains
from engine.errors import DirtytopError, NotSupported
from engine.images.files import writing
from engine.images.proto.rpc_pb2 import NOTIFY, RESTORE, CriuNotify, CriuReq, CriuResp
from engine.kernel.process import Identity, identify
from engine.kernel.seccomp import asking_command
from engine.printable import printable

STDERR: Final = "criu.stderr"
"""In the work directory: what CRIU said outside of its log."""

_LARGEST_PACKET: Final = 1 << 20
"""Beyond what a socket buffer lets through by default."""
_WATCH_EVERY_S: Final = 0.05
_ENDING_S: Final = 2.0
"""How long a CRIU may take to end once it has answered, or hung up."""
_MOST_STDERR_BYTES: Final = 64 << 10

Notified = Callable[[CriuNotify], bool]
"""Told of each notification; whether CRIU may go on."""
Watch = Callable[[], None]
"""Called again and again while CRIU works; what it raises makes us give up."""


@dataclass(frozen=True, slots=True)
class Charge:
    """The tree that a CRIU works on, which it has to let go whatever happens."""

    root: Identity
    said: Callable[[str], object]
    """Told in words what goes on, while CRIU does not let go."""
    patience: Patience = PATIENCE


class NoAnswer(DirtytopError):
    """CRIU ended, or fell silent, instead of answering."""


def _go_on(notification: CriuNotify) -> bool:
    return True


def _nothing() -> None:
    """The callback of a caller who does not want to know."""


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
        charge: Charge | None = None,
    ) -> None:
        """Nothing is started before `with`.

        Args:
            program: CRIU.
            work_directory: where it is started, and leaves what it says on stderr.
            inherited: descriptors that stay open for as long as it lives, whatever becomes of us.
            on_our_terminal: whether it shares our session and standard input.
            overseer: whom it has to ask; where the kernel cannot make it ask, it does not.
            charge: what it is to stop. Without one it is not to be asked for a link.
        """
        self._program = program
        self._work_directory = work_directory
        self._inherited = inherited
        self._on_our_terminal = on_our_terminal
        self._overseer = overseer
        self._charge = charge
        self._identity: Identity | None = None
        self._guard: Guard | None = None
        self._letting_go: LettingGo | None = None
        self.remains = ""
        """What it had left in the target, and what was done about that, in words; empty if nothing."""
        self._questions: Questions | None = None
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
                with suppress(OSError):  # nothing was written by us: there is nothing to lose
                    os.close(stderr)
            self._socket, self._identity = ours, identify(self._process.pid)
            try:
                if self._charge is not None:
                    self._guard = Guard(self._identity, self._charge.root)
                if self._overseer is not None:
                    tells.close()
                    self._questions = Questions(self._overseer, hear_listener(self._process, hears))
                if self._guard is not None:
                    self._guard.wait_until_ready()
            except BaseException:
                self._process.kill()  # it has been asked for nothing yet
                self.__exit__(None, None, None)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up, and see it end, the target let go; one that does not end is left to its guardian."""
        assert self._socket is not None
        assert self._process is not None
        self._socket.close()
        if self._questions is not None:
            self._questions.close()
        if self._charge is None:
            self._process.wait()
            return
        self._see_it_end(self._charge)
        if self._process.returncode is not None and self._process.returncode < 0:
            self.remains = clear_remains(self._charge.root)
        if self._guard is not None:
            self._guard.close()

    @property
    def pid(self) -> int:
        """Its pid."""
        assert self._process is not None
        return self._process.pid

    @property
    def was_killed(self) -> bool:
        """Whether we had to kill it."""
        return self._letting_go is not None and self._letting_go.was_killed

    @property
    def is_left_alone(self) -> bool:
        """Whether it does not end whatever is done, and may hold the target still."""
        return self._letting_go is not None and self._letting_go.is_left_alone

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
        assert self._process is not None
        # Asked first: what it has said is there by then.
        has_ended = self._process.poll() is not None
        if not wait_for_packet(self._socket, timeout_s, self._questions):
            if has_ended:  # and what it had forked keeps the other end open
                raise self._silence()
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
            raise NoAnswer("criu's answer is not a message of its protocol") from error
        if flags & socket.MSG_TRUNC or not message.IsInitialized():
            raise NoAnswer("criu's answer is not a message of its protocol")
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

    def _silence(self) -> NoAnswer:
        assert self._process is not None
        try:
            code = self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            return NoAnswer("criu has closed its socket, and does not end")
        if code < 0:
            return NoAnswer(f"criu was killed by {signal.Signals(-code).name}")
        return NoAnswer(f"criu ended without an answer (exit code {code})")

    # -- giving up

    def _give_up(self) -> None:
        """Make CRIU fail, and wait until it has put the target back as it was, or has hung up."""
        assert self._charge is not None
        letting_go = self._begin_to_let_go(self._charge)
        while letting_go.step() and not letting_go.is_left_alone:
            self._charge.said(letting_go.words())
            try:
                message = self._receive(_WATCH_EVERY_S)
                if message is not None:
                    if message.type != NOTIFY:
                        return
                    self._send(CriuReq(type=NOTIFY, notify_success=message.notify.script != "post-dump"))
            except NoAnswer:
                return

    def _begin_to_let_go(self, charge: Charge) -> LettingGo:
        assert self._identity is not None
        if self._letting_go is None:
            self._letting_go = LettingGo(self._identity, charge.root, charge.patience)
        return self._letting_go

    def _see_it_end(self, charge: Charge) -> None:
        """Wait for its end, and do something about it if that does not come."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            if not self.is_left_alone:
                self._process.wait(min(_ENDING_S, charge.patience.end_s))
        while self._process.poll() is None and not self.is_left_alone:
            letting_go = self._begin_to_let_go(charge)
            letting_go.step()
            charge.said(letting_go.words())
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_WATCH_EVERY_S)
