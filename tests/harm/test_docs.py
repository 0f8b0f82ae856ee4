"""`docs/harm.md` says what the tests hold a target to: row by row, and nothing besides."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harm.allowed import ALLOWED, Allowed
from tests.harm.kinds import KINDS, Kind
from tests.harm.operations import CRIU_ALONE, OPERATIONS, OPERATIONS_EACH_TIME, UNTOUCHED, Operation

DOCUMENT = Path(__file__).parents[2] / "docs" / "harm.md"
HEADINGS = ("| what ", "| operation |", "| kind |", "| --- |")


def row_of_allowed(row: Allowed) -> str:
    """A line of the table of what may be different."""
    who = "CRIU" if row.is_crius else "while attached" if row.is_while_attached else ""
    return f"| {row.what} | {row.when} | {who} | {row.why} |"


def row_of_kind(kind: Kind) -> str:
    """A line of the table of targets."""
    return f"| `{kind.name}` | {kind.what} |"


def row_of_operation(operation: Operation) -> str:
    """A line of the table of what is done to them."""
    return f"| {operation.name} | {operation.what} |"


EXPECTED = [
    *map(row_of_allowed, ALLOWED),
    *map(row_of_operation, (UNTOUCHED, *OPERATIONS, CRIU_ALONE)),
    *map(row_of_kind, KINDS),
]


def rows() -> list[str]:
    """The document's, without the headings of its tables."""
    lines = DOCUMENT.read_text().splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith(HEADINGS)]


def test_the_document_has_these_rows_and_no_others() -> None:
    assert rows() == EXPECTED


@pytest.mark.parametrize("row", ALLOWED, ids=lambda row: row.what)
def test_a_difference_is_allowed_with_a_reason(row: Allowed) -> None:
    assert row.why
    assert not row.why.endswith(".")


def test_each_time_what_is_done_is_found_by_its_name() -> None:
    assert len(OPERATIONS_EACH_TIME) == 8
