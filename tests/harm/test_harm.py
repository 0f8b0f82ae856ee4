"""First, do no harm: nothing of a target is another than it was, but what `docs/harm.md` says.

`make test` has each kind of target go through most of what dirtytop does, one thing after the other;
`make soak` has a fresh target for each kind and thing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.checkpoint.criu.features import examine_criu
from engine.errors import DirtytopError
from engine.tracking.probe import probe
from engine.tracking.sample import TrackerKind
from tests.harm.going_through import go_through
from tests.harm.kinds import KINDS, Kind
from tests.harm.operations import (
    CRIU_ALONE,
    LINKS_BY_CRIU,
    OPERATIONS,
    OPERATIONS_EACH_TIME,
    UNTOUCHED,
    Operation,
)

_PARTS = 4
"""An emulated guest of the lab takes one of so many parts of the kinds."""

each_kind = pytest.mark.parametrize(
    ("first", "target_kind"),
    [
        pytest.param(at % _PARTS, kind, id=kind.name, marks=[pytest.mark.soak] if kind.is_soak else [])
        for at, kind in enumerate(KINDS)
    ],
)


def possible(operation: Operation) -> bool:
    """Whether this machine has what it needs: a CRIU, soft-dirty bits."""
    if operation.needs_soft_dirty and not probe().soft_dirty.works:
        return False
    if operation not in (*LINKS_BY_CRIU, CRIU_ALONE):
        return True
    try:
        examine_criu().require_dump()
    except DirtytopError:
        return False
    return True


@each_kind
def test_a_target_stays_as_it_is_whatever_is_done(
    first: int, target_kind: Kind, kind: TrackerKind, tmp_path: Path
) -> None:
    operations = [operation for operation in OPERATIONS_EACH_TIME if possible(operation)]
    found = go_through(target_kind, operations, kind, tmp_path)
    assert not found, "\n".join(found)


@pytest.mark.soak
@each_kind
@pytest.mark.parametrize(
    "operation", [UNTOUCHED, *OPERATIONS, CRIU_ALONE], ids=lambda operation: operation.name
)
def test_a_target_stays_as_it_is(
    first: int, target_kind: Kind, operation: Operation, kind: TrackerKind, tmp_path: Path
) -> None:
    if not possible(operation):
        pytest.skip("no CRIU, or no soft-dirty bits")
    found = go_through(target_kind, [operation] * 3, kind, tmp_path)
    assert not found, "\n".join(found)
