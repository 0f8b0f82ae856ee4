"""Damaged images of what a core tells: only errors of ours come out, and never half a core."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from engine.checkpoint.memory import MemoryChain
from engine.errors import BadImage, DirtytopError
from engine.images.framing import Magic, pack, read_messages
from engine.images.layout import core_name, debug_name, mm_name
from engine.images.proto.debug_pb2 import DebugEntry
from engine.tracking.session import Session
from tests.core.conftest import core_of_link
from tests.targets.scripted import ScriptedTarget

ROUNDS = 150


@pytest.fixture
def link(target: ScriptedTarget, tmp_path: Path) -> Path:
    with Session(target.pid) as session:
        return MemoryChain(session, tmp_path / "chain").dump().path


@pytest.mark.parametrize("named", [debug_name, core_name, mm_name])
def test_changed_bytes_end_in_a_core_or_in_an_error_of_ours(
    link: Path, target: ScriptedTarget, tmp_path: Path, named: object
) -> None:
    assert callable(named)
    image = link / named(target.pid)
    whole = image.read_bytes()
    dice = random.Random(7)
    ended = {True: 0, False: 0}
    for number in range(ROUNDS):
        data = bytearray(whole)
        for _ in range(dice.randrange(1, 5)):
            data[dice.randrange(8, len(data))] = dice.randrange(256)
        image.write_bytes(data[: dice.choice([len(data), len(data), dice.randrange(len(data))])])
        try:
            core_of_link(link, tmp_path, f"core.{number}").path.unlink()
            ended[True] += 1
        except DirtytopError:
            ended[False] += 1
        assert sorted(os.listdir(tmp_path)) == ["chain"]
    assert min(ended.values()) > 0


@pytest.mark.parametrize(
    "change",
    [
        {"start": 0x1001},
        {"end": 0},
        {"start": (1 << 64) - 4096},
        {"offset": 5},
        {"offset": 1 << 63},
    ],
)
def test_mappings_that_cannot_be_are_named(
    link: Path, target: ScriptedTarget, tmp_path: Path, change: dict[str, int]
) -> None:
    image = link / debug_name(target.pid)
    entries = read_messages(image, Magic.DEBUG, DebugEntry)
    for name, value in change.items():
        setattr(entries[0].process.mappings[3], name, value)
    image.write_bytes(pack(Magic.DEBUG, entries))
    with pytest.raises(BadImage, match="cannot be there"):
        core_of_link(link, tmp_path)
