"""System calls that CRIU makes only once we have answered: see `engine.kernel.seccomp`."""

from __future__ import annotations

import select
import socket
import subprocess
import time
from typing import Final, Protocol

from engine.errors import NotSupported
from engine.kernel.seccomp import IoctlCall, Listener, receive_listener

_STARTING_S: Final = 20.0
"""How long the program that CRIU is started by may take on a slow machine."""


class Overseer(Protocol):
    """Whom CRIU has to ask before each `ioctl` of one kind."""

    @property
    def request(self) -> int:
        """Which kind."""
        ...

    def decide(self, call: IoctlCall) -> int | None:
        """What the call returns instead of being made; None lets it through."""
        ...


class Questions:
    """What CRIU asks, passed on to the overseer, who answers it."""

    def __init__(self, overseer: Overseer, listener: Listener | None) -> None:
        """Take the listener over; without one it does not ask."""
        self._overseer = overseer
        self._listener = listener

    @property
    def listener(self) -> Listener | None:
        """Where it asks; None once nobody can ask any more."""
        return self._listener

    def answer(self) -> None:
        """Answer one call that waits for us."""
        assert self._listener is not None
        call = self._listener.receive()
        if call is None:
            return
        result = self._overseer.decide(call)
        if result is None:
            self._listener.let_through(call)
        else:
            self._listener.answer(call, result)

    def close(self) -> None:
        """Listen no longer: what would be asked for fails. May be called twice."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def wait_for_packet(connection: socket.socket, timeout_s: float, questions: Questions | None) -> bool:
    """Wait for a packet, and answer what is asked meanwhile. False if none came in time."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        listener = questions.listener if questions is not None else None
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        if listener is not None:
            poll.register(listener, select.POLLIN)
        events = dict(poll.poll(max(0.0, deadline_s - time.monotonic()) * 1e3))
        if questions is not None and listener is not None and (event := events.pop(listener.fileno(), 0)):
            if event & select.POLLIN:
                questions.answer()
            else:  # everybody who could ask has ended
                questions.close()
        if events or time.monotonic() >= deadline_s:
            return bool(events)


def hear_listener(starter: subprocess.Popen[bytes], hears: socket.socket) -> Listener | None:
    """What the program that becomes CRIU says first.

    Raises:
        NotSupported: it says nothing.
    """
    hears.settimeout(_STARTING_S)
    try:
        return receive_listener(hears)
    except TimeoutError as error:
        raise NotSupported(
            f"the program that starts criu does not answer (pid {starter.pid})",
            hint="it, or its cgroup, may have been stopped; it was told to end",
        ) from error
