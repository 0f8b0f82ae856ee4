"""What may be different in a target, and why it cannot be otherwise: the table of `docs/harm.md`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tests.harm.comparing import Difference
from tests.harm.kinds import Kind
from tests.harm.operations import Operation


@dataclass(frozen=True, slots=True)
class Allowed:
    """One difference."""

    what: str
    """What differs, for the table."""
    name: str
    """Its name: a pattern."""
    operations: str
    """Of which operations: a pattern."""
    why: str
    """Why it cannot be otherwise."""
    kinds: str = ".*"
    """Of which kinds of target: a pattern."""
    is_while_attached: bool = False
    """Whether it is gone once dirtytop has let go."""

    def allows(self, difference: Difference, kind: Kind, operation: Operation, *, is_attached: bool) -> bool:
        """Whether it is this one."""
        return (
            (is_attached or not self.is_while_attached)
            and re.fullmatch(self.kinds, kind.name) is not None
            and re.fullmatch(self.operations, operation.name) is not None
            and re.fullmatch(self.name, difference.name, re.DOTALL) is not None
        )


ALLOWED: Final = (
    Allowed(
        "how often its threads have waited",
        r"switches \d+",
        ".*",
        "a thread that is stopped waits until it may go on; so does one that is asked, by this test",
    ),
    Allowed(
        "which userfaultfd watches its memory",
        "watched by userfaultfd",
        ".*",
        "that is what write-protect tracking is; shown to whoever reads its smaps",
        is_while_attached=True,
    ),
)
