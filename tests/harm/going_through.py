"""A target of one kind goes through operations, and is looked at before, in the middle, and after each."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from engine.checkpoint.dumpable import CannotDump
from engine.errors import DirtytopError
from engine.tracking.sample import TrackerKind
from tests.harm.allowed import ALLOWED
from tests.harm.comparing import Difference, compare
from tests.harm.kinds import Kind
from tests.harm.looking import Onlooker
from tests.harm.operations import CriuCannot, Operation, Subject
from tests.harm.target import Knowing
from tests.zdtm.outside import View

_SETTLE_S = 10.0
_COMES_TO_REST_S = 0.5


@dataclass(slots=True)
class Trial:
    """A running target, and what was found of it so far."""

    kind: Kind
    target: Knowing
    onlooker: Onlooker
    before: View
    found: list[str] = field(default_factory=list)
    """A line for each difference that nothing allows, and for each refusal that was not to be."""

    def go_through(self, operation: Operation, tracker: TrackerKind, directory: Path) -> None:
        """Do that to it, and compare; what is different afterwards is what the next one begins with."""
        directory.mkdir()
        try:
            with operation.work(Subject(self.target.pid, tracker, directory)):
                self._compare(operation, tracker, is_attached=True)
        except DirtytopError as error:
            # What CRIU cannot dump is refused before anything is touched, and `tests/criu` knows it all.
            if not isinstance(error, (CannotDump, CriuCannot)) and not self.kind.may_refuse(
                operation.name, tracker, error.message
            ):
                self.found.append(
                    f"{self.kind.name}, {operation.name}: {type(error).__name__}: {error.message}"
                )
        self.before = self._compare(operation, tracker)

    def _compare(self, operation: Operation, tracker: TrackerKind, *, is_attached: bool = False) -> View:
        """Look, and once more where something is only on its way back: a thread that is let go, a page."""
        moment = "while " if is_attached else ""
        deadline_s = time.monotonic() + _COMES_TO_REST_S
        while True:
            view = self.onlooker.look(by_itself=not self.kind.is_suspended)
            different = [
                difference
                for difference in compare(self.before, view)
                if not self._is_as_it_may_be(difference, operation, tracker, is_attached=is_attached)
            ]
            if not different or time.monotonic() > deadline_s:
                self.found += [f"{self.kind.name}, {moment}{operation.name}: {one}" for one in different]
                return view

    def _is_as_it_may_be(
        self, difference: Difference, operation: Operation, tracker: TrackerKind, *, is_attached: bool
    ) -> bool:
        return self.kind.changes(difference.name) or any(
            row.allows(difference, self.kind, operation, tracker, is_attached=is_attached) for row in ALLOWED
        )


def go_through(
    kind: Kind, operations: Iterable[Operation], tracker: TrackerKind, directory: Path
) -> list[str]:
    """All that one target was not to become by these operations, one after the other."""
    with Knowing(kind.program, kind.begins_as or kind.name, directory) as target:
        onlooker = Onlooker(target, with_descendants=not kind.has_passing_children)
        try:
            onlooker.take_copies()
            account = target.account()
            if kind.is_suspended:
                target.suspend()
            trial = Trial(kind, target, onlooker, _at_rest(kind, onlooker))
            for number, operation in enumerate(operations):
                trial.go_through(operation, tracker, directory / f"{number}")
            if kind.is_suspended:
                target.resume()
                trial.found += [
                    f"{kind.name}, once resumed: {one}" for one in compare(account, target.account())
                ]
        finally:
            onlooker.close()
    return trial.found


def _at_rest(kind: Kind, onlooker: Onlooker) -> View:
    """What it looks like once two looks see the same, but for what it changes itself."""
    deadline_s = time.monotonic() + _SETTLE_S
    before = onlooker.look(by_itself=not kind.is_suspended)
    while True:
        after = onlooker.look(by_itself=not kind.is_suspended)
        moving = [
            one for one in compare(before, after) if not kind.changes(one.name) and not one.is_of_being_asked
        ]
        if not moving:
            return after
        assert time.monotonic() < deadline_s, f"{kind.name} is never at rest: {'; '.join(map(str, moving))}"
        before = after
