"""Whose the epochs are, where everybody shares them: a chain of CRIU's borrows a session's soft-dirty bits.

CRIU leaves out of a link what the bits say was not written since the link before. For as long as such a
chain is open the session therefore only reads them.
"""

from __future__ import annotations

from typing import final

from engine.errors import EpochLent
from engine.kernel.process import Identity


@final
class EpochLoan:
    """Who has borrowed the epochs of one session, if they can be lent at all."""

    def __init__(self, root: Identity, *, shares_epochs: bool) -> None:
        """Nobody has borrowed them yet; epochs that are not shared are nobody's to borrow."""
        self._pid = root.pid
        self._shares_epochs = shares_epochs
        self._borrower: object | None = None

    @property
    def is_lent(self) -> bool:
        """Whether the bits are lent to a chain of CRIU's: they are only read then."""
        return self._borrower is not None and self._shares_epochs

    def lend(self, borrower: object) -> bool:
        """From now on they are the borrower's.

        Returns:
            Whether they were ours before.
        """
        is_news = self._borrower is None and self._shares_epochs
        self._borrower = borrower
        return is_news

    def take_back(self, borrower: object) -> None:
        """The borrower needs them no more."""
        if self._borrower is borrower:
            self._borrower = None

    def require_own(self, what: str, hint: str) -> None:
        """Make sure that nobody relies on bits that are to be cleared.

        Args:
            what: what is wrong with it, if somebody does.
            hint: what to do then.

        Raises:
            EpochLent: a chain of CRIU's has borrowed them.
        """
        if self.is_lent:
            raise EpochLent(f"process {self._pid}: {what}", pid=self._pid, hint=hint)
