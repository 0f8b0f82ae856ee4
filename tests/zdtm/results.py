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
    is_static: bool
    outcomes: dict[Mode, list[Outcome]] = field(default_factory=dict)
    """In the order that they were run: what was wrong is run once more."""

    def add(self, outcome: Outcome) -> None:
        """Note one more."""
        self.outcomes.setdefault(outcome.mode, []).append(outcome)

    def judge(self, mode: Mode) -> tuple[str, str]:
        """What a mode came to, and why, in a line."""
        if mode.control is None:
            outcome = self.outcomes[mode][-1]
            return (RIGHT if outcome.verdict is Verdict.PASSED else NOT_APPLICABLE), outcome.reason
        if not self.may_judge(mode):
            control = self.outcomes[mode.control][-1]
            return NOT_APPLICABLE, f"{mode.control.value} {control.verdict.value}: {control.reason}"
        faults = [self._fault(outcome) for outcome in self.outcomes[mode]]
        if all(faults):
            return WRONG, faults[-1]
        return (RIGHT_AGAIN, faults[0]) if faults[0] else (RIGHT, "")

    def may_judge(self, mode: Mode) -> bool:
        """Whether a failure in this mode would be ours."""
        return mode.control is None or self.outcomes[mode.control][-1].verdict is Verdict.PASSED

    def is_wrong(self, mode: Mode) -> bool:
        """Whether it was, each time so far."""
        return self.judge(mode)[0] == WRONG

    def _fault(self, outcome: Outcome) -> str:
        """What is wrong with one outcome; empty if nothing."""
        if outcome.verdict is not Verdict.PASSED:
            return outcome.reason or outcome.verdict.value
        if outcome.mode is not Mode.HARM or not self.is_static:
            return ""
        # What some test changes by itself is of no account.
        by_itself = kinds(list(self.outcomes[Mode.UNTOUCHED][-1].changed))
        changed = [line for line in outcome.changed if not kinds([line]) <= by_itself]
        return f"changed: {'; '.join(changed)}" if changed else ""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "test": self.test,
            "flavour": self.flavour,
            "modes": {
                mode.value: {
                    "judged": self.judge(mode)[0],
                    "why": self.judge(mode)[1],
                    "runs": [
                        {"verdict": run.verdict.value, "reason": run.reason, "seconds": run.seconds}
                        | {"changed": list(run.changed)}
                        for run in runs
                    ],
                }
                for mode, runs in self.outcomes.items()
            },
        }


def from_json(value: dict[str, Any], is_static: bool) -> Case:
    """A case as `as_json` wrote it."""
    case = Case(value["test"], value["flavour"], is_static)
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
        judged = [
            (case, *case.judge(mode)) for case in cases if mode in case.outcomes or not case.may_judge(mode)
        ]
        counts = Counter(judgement for _, judgement, _ in judged)
        lines.append(f"| {mode.value} | {' | '.join(str(counts[judgement]) for judgement in judgements)} |")
        named += [
            f"{mode.value}, {judgement}: {case.test} ({case.flavour}): {why}"
            for case, judgement, why in judged
            if judgement in (WRONG, RIGHT_AGAIN)
        ]
    return "\n".join([*lines, "", *named])
