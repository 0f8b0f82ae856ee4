"""Many runs, judged against their controls, as a table and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.zdtm.modes import Mode
from tests.zdtm.outside import kinds
from tests.zdtm.trial import Outcome, Verdict

RIGHT: Final = "right"
RIGHT_AGAIN: Final = "right only when run once more"
WRONG: Final = "wrong"
NOT_APPLICABLE: Final = "not applicable"


@dataclass(slots=True)
class Case:
    """One test in one flavour, in all modes that it was run in."""

    test: str
    flavour: str
    outcomes: dict[Mode, list[Outcome]] = field(default_factory=dict)
    """In the order that they were run: what was wrong is run once more."""

    def add(self, outcome: Outcome) -> None:
        """Note one more."""
        self.outcomes.setdefault(outcome.mode, []).append(outcome)

    def forget(self, mode: Mode) -> None:
        """As if it had not been run in this mode."""
        self.outcomes.pop(mode, None)

    def judge(self, mode: Mode) -> tuple[str, str] | None:
        """What a mode came to, and why, in a line; None if it was not run."""
        for control in self._controls(mode):
            if control.verdict is not Verdict.PASSED:
                return NOT_APPLICABLE, f"{control.mode.value} {control.verdict.value}: {control.reason}"
        if mode not in self.outcomes:
            return None
        if mode.control is None:
            outcome = self.outcomes[mode][-1]
            return (RIGHT if outcome.verdict is Verdict.PASSED else NOT_APPLICABLE), outcome.reason
        faults = [self._fault(outcome) for outcome in self.outcomes[mode]]
        if all(faults):
            return WRONG, faults[-1]
        return (RIGHT_AGAIN, faults[0]) if faults[0] else (RIGHT, "")

    def may_judge(self, mode: Mode) -> bool:
        """Whether a failure in this mode would be ours, as far as is known."""
        return all(control.verdict is Verdict.PASSED for control in self._controls(mode))

    def is_wrong(self, mode: Mode) -> bool:
        """Whether it was, each time so far."""
        judged = self.judge(mode)
        return judged is not None and judged[0] == WRONG

    def has_been_wrong(self, mode: Mode) -> bool:
        """Whether it was, once at least."""
        judged = self.judge(mode)
        return judged is not None and judged[0] in (WRONG, RIGHT_AGAIN)

    def in_a_line(self, modes: Iterable[Mode]) -> str:
        """What these modes came to."""
        judged = [(mode, *found) for mode in modes if (found := self.judge(mode)) is not None]
        words = [f"{mode.value} {judgement}{f' ({why})' if why else ''}" for mode, judgement, why in judged]
        return f"{self.test} ({self.flavour}): {', '.join(words)}"

    def _controls(self, mode: Mode) -> Sequence[Outcome]:
        return self.outcomes.get(mode.control, ()) if mode.control is not None else ()

    def _fault(self, outcome: Outcome) -> str:
        """What is wrong with one outcome; empty if nothing."""
        if outcome.verdict is not Verdict.PASSED:
            return outcome.reason or outcome.verdict.value
        if outcome.mode.is_restored or not self.test.startswith("static/"):
            return ""
        # What a program changes by itself, or CRIU alone in it, is of no account.
        by_itself = kinds([line for control in self._controls(outcome.mode) for line in control.changed])
        changed = [line for line in outcome.changed if not kinds([line]) <= by_itself]
        return f"changed: {'; '.join(changed)}" if changed else ""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "test": self.test,
            "flavour": self.flavour,
            "modes": {
                mode.value: {
                    **dict(zip(("judged", "why"), self.judge(mode) or ("", ""), strict=True)),
                    "runs": [
                        {"verdict": run.verdict.value, "reason": run.reason, "seconds": run.seconds}
                        | {"changed": list(run.changed)}
                        for run in runs
                    ],
                }
                for mode, runs in self.outcomes.items()
            },
        }


def from_json(value: dict[str, Any]) -> Case:
    """A case as `as_json` wrote it."""
    case = Case(value["test"], value["flavour"])
    for name, of_mode in value["modes"].items():
        for run in of_mode["runs"]:
            case.add(
                Outcome(
                    Mode(name), Verdict(run["verdict"]), run["reason"], run["seconds"], tuple(run["changed"])
                )
            )
    return case


def write_json(cases: Iterable[Case], path: Path) -> None:
    """All of them, in place of what was there."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps([case.as_json() for case in cases], indent=1) + "\n")
    new.replace(path)


def as_table(cases: Sequence[Case], modes: Sequence[Mode]) -> str:
    """How many came to what in each mode, and each that was wrong, with the reason."""
    judgements = (RIGHT, RIGHT_AGAIN, WRONG, NOT_APPLICABLE)
    lines = [f"| mode | {' | '.join(judgements)} |", "| --- " * (len(judgements) + 1) + "|"]
    named = []
    for mode in modes:
        judged = [(case, *found) for case in cases if (found := case.judge(mode)) is not None]
        counts = Counter(judgement for _, judgement, _ in judged)
        lines.append(f"| {mode.value} | {' | '.join(str(counts[judgement]) for judgement in judgements)} |")
        named += [
            f"{mode.value}, {judgement}: {case.test} ({case.flavour}): {why}"
            for case, judgement, why in judged
            if judgement in (WRONG, RIGHT_AGAIN)
        ]
    return "\n".join([*lines, "", *named])
