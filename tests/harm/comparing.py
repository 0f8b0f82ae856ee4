"""Two looks at a target, compared."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.zdtm.outside import View

_BETWEEN = re.compile(r"^expires (\d+)\.\.(\d+)$")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was."""

    name: str
    """What, without the process and thread: "status SigBlk", "self: EINTR of recv"."""
    whose: str
    """The process, or process and thread, that it is of; empty if it is what the target says."""
    was: str
    now: str

    @property
    def is_of_being_asked(self) -> bool:
        """Whether asking the target changes it: the thread that answers has waited once more."""
        return self.name.startswith("switches ")

    def __str__(self) -> str:
        """A line or more."""
        was, now = self.was.split("\n"), self.now.split("\n")
        gone = [line for line in was if line not in now]
        came = [line for line in now if line not in was]
        return f"{self.whose} {self.name} was {' | '.join(gone) or 'more'}, is {' | '.join(came) or 'less'}"


def compare(before: View, after: View) -> list[Difference]:
    """All that differs."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, "nothing"), after.get(name, "nothing")
        if not _is_same(was, now) and not _is_unknown(name, before, after):
            whose, _, what = name.partition(": ")
            is_own = whose == "self"
            found.append(Difference(name if is_own else what, "" if is_own else whose, was, now))
    return found


def _is_unknown(name: str, before: View, after: View) -> bool:
    """Whether the kernel does not tell: which call a thread is in while it runs."""
    return name.endswith(": system call") and "" in (before.get(name), after.get(name))


def _is_same(was: str, now: str) -> bool:
    """Whether two values are equal, or two stretches that something lies in have a part in common."""
    if was == now:
        return True
    first, second = _BETWEEN.match(was), _BETWEEN.match(now)
    if first is None or second is None:
        return False
    return int(first[1]) <= int(second[2]) and int(second[1]) <= int(first[2])
