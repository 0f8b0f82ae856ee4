"""The words of pre-flight: rules, things seen that fall under a rule, and findings, made of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, Flag, auto
from typing import Any, Final, NamedTuple

Version = tuple[int, int, int]
"""Of CRIU, as in (4, 1, 1)."""

_SHOWN: Final = 3
"""Of so many places of one kind the first are named, the others counted."""


class Severity(Enum):
    """What a thing means for a dump, worst first."""

    BLOCKS = "blocks the dump"
    UNRESTORABLE = "cannot be restored"
    """The dump succeeds, and no restore of it does."""
    OPTION = "needs an option"
    """Without that option the dump fails."""
    LOST = "is not saved"
    NOTE = "worth knowing"

    @property
    def prevents(self) -> bool:
        """Whether, as things are, there will be no dump that can be restored."""
        return self in (Severity.BLOCKS, Severity.UNRESTORABLE, Severity.OPTION)


class Part(Flag):
    """Whose work it concerns."""

    CRIU = auto()
    """What CRIU does: alone, or in the dump of a spliced chain."""
    OURS = auto()
    """Our tracking and copying: a chain of memory, and the pre-dumps of a spliced one."""
    BOTH = CRIU | OURS


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that CRIU, or we, cannot do, or do only so far. Of a version, never of a process."""

    key: str
    """Its name for programs, which never changes."""
    title: str
    """What it is about, in two or three words."""
    why: str
    """What becomes of it, as the end of a sentence that begins with the thing."""
    source: str
    """Where that is decided: CRIU's file, or the commit that changed it; or the kernel's."""
    severity: Severity = Severity.BLOCKS
    hint: str = ""
    """What to do about it."""
    part: Part = Part.CRIU
    since: Version = (0, 0, 0)
    """The first CRIU of which it is true."""
    until: Version | None = None
    """The first CRIU of which it is not true any more."""
    option: str = ""
    """CRIU's option, as it is named in criu.conf, with which it is saved after all."""
    then: str = ""
    """What that costs, as the end of a sentence; empty if nothing."""

    def holds_for(self, version: Version) -> bool:
        """Whether it is true of this CRIU."""
        return self.since <= version and (self.until is None or version < self.until)


class Seen(NamedTuple):
    """One thing that falls under a rule."""

    rule: Rule
    pid: int
    thing: str
    """Which, as in "descriptor 5" or "the working directory"; printable."""
    detail: str = ""
    """More about it, as in what it is called; printable."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a thing was seen; all text is printable."""

    pid: int
    command: str
    thing: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a dump of the tree will meet, wherever in the tree; all text is printable."""

    key: str
    """Of the rule it falls under."""
    severity: Severity
    part: Part
    title: str
    why: str
    hint: str
    places: tuple[Place, ...]
    option: str = ""
    """What would lift it, as named in criu.conf."""

    @property
    def text(self) -> str:
        """One line, as in "io_uring: descriptor 5 of process 12 (node): no criu saves one"."""
        return f"{self.title}: {self._where()}: {self.why}"

    def _where(self) -> str:
        first = self.places[0]
        here = list(dict.fromkeys(place for place in self.places if place.pid == first.pid))
        elsewhere = len({place.pid for place in self.places}) - 1
        process = f"process {first.pid} ({first.command})"
        things = _enumerated([place for place in here if place.thing])
        if things:
            text = f"{things} of {process}"
        else:
            text = f"{process}, {first.detail}" if first.detail else process
        if elsewhere:
            text += f", and {elsewhere} more process{'es' if elsewhere > 1 else ''}"
        return text

    def as_json(self) -> dict[str, Any]:
        """The stable form printed by `dirtytop doctor PID --json`."""
        return {
            "key": self.key,
            "severity": self.severity.value,
            "concerns": [
                part.name.lower() for part in (Part.CRIU, Part.OURS) if part in self.part and part.name
            ],
            "title": self.title,
            "why": self.why,
            "hint": self.hint,
            "option": self.option or None,
            "places": [
                {"pid": place.pid, "command": place.command, "thing": place.thing, "detail": place.detail}
                for place in self.places
            ],
        }

    def joined(self, other: Finding) -> Finding:
        """The same, in more places."""
        return replace(self, places=(*self.places, *other.places))


def _enumerated(places: list[Place]) -> str:
    """As in "descriptor 5 (/dev/kvm), 6, 7 and 2 more": what is as with the one before is not said again."""
    texts: list[str] = []
    before = Place(0, "", "")
    for place in places[:_SHOWN]:
        kind, _, name = place.thing.rpartition(" ")
        text = name if kind and kind == before.thing.rpartition(" ")[0] else place.thing
        if place.detail and place.detail != before.detail:
            text += f" ({place.detail})"
        texts.append(text)
        before = place
    more = len(places) - len(texts)
    return ", ".join(texts) + (f" and {more} more" if more else "")
