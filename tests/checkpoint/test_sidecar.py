"""What a link says of its epoch: read as it was written, and refused if it cannot have been."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.checkpoint.link import Engine
from engine.checkpoint.sidecar import Sidecar, SidecarProcess, link_digest, read_sidecar
from engine.errors import BadImage, UnknownFormat
from engine.images import limits
from engine.images.layout import SIDECAR
from engine.tracking.canary import Canary
from engine.tracking.sample import TrackerKind

WHOLE = Sidecar(
    boot_id="9f3c",
    tracker=TrackerKind.SOFT_DIRTY,
    owner=Engine.CRIU,
    processes=(
        SidecarProcess(42, 1, 4711, ("4096", "8192"), Canary((1, 5, 9), (2,))),
        SidecarProcess(43, 2, 4712, ("1", "2"), None),
    ),
    digest="ab12",
    criu="4.1.1",
)


def put(directory: Path, content: str | bytes) -> Path:
    path = directory / SIDECAR
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return directory


def fields(**changed: Any) -> str:
    return json.dumps({**json.loads(WHOLE.encode()), **changed})


def process(**changed: Any) -> dict[str, Any]:
    return {**json.loads(WHOLE.encode())["processes"][0], **changed}


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_sidecar(put(tmp_path, WHOLE.encode())) == WHOLE


def test_one_of_before_it_told_of_criu_is_read_too(tmp_path: Path) -> None:
    before = json.loads(WHOLE.encode())
    del before["criu"]
    sidecar = read_sidecar(put(tmp_path, json.dumps(before)))
    assert sidecar is not None
    assert sidecar.criu == ""


def test_a_link_without_one_says_nothing(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path) is None


@pytest.mark.parametrize("schema", [0, 1, 3, 10**9])
def test_another_version_of_dirtytop_is_named_as_that(tmp_path: Path, schema: int) -> None:
    with pytest.raises(UnknownFormat, match=f"made by another version of dirtytop .schema {schema}"):
        read_sidecar(put(tmp_path, json.dumps({"schema": schema})))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe", "not ASCII"),
        ("[1]", "list where there should be fields"),
        ("{}", "schema is missing"),
        ('{"schema": 2, "schema": 2}', "two fields of one name"),
        ('{"schema": 1e999}', "1e999 is not an integer"),
        ('{"schema": NaN}', "NaN is not an integer"),
        ('{"schema": -Infinity}', "-Infinity is not an integer"),
        ('{"schema": true}', "schema is bool, which is not a number"),
        ('{"schema": "2"}', "schema is 2, which is not a number"),
        ('{"schema": null}', "schema is null"),
        ('{"schema": -1}', "schema is -1, which is not between"),
        ('{"schema": ' + "9" * 1_000_000 + "}", "a number of 1000000 digits"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (fields(tracker="telepathy"), "tracker is telepathy, which is not known"),
        (fields(owner="\x1b[2J"), "owner is ␛.2J, which is not known"),
        (fields(owner=["criu"]), "owner is list"),
        (fields(boot_id=7), "boot_id is int, which is not a text"),
        (fields(boot_id="x" * 1000), "boot_id has 1000 characters"),
        (fields(digest=None), "digest is null"),
        (fields(processes={}), "processes is not a list"),
        (fields(processes=[7]), "int where there should be fields"),
        (fields(processes=[process(), process(inner_pid=7)]), "two processes with the same pid"),
        (fields(processes=[process(), process(pid=7)]), "two processes with the same inner_pid"),
        (fields(processes=[process(pid=0)]), "pid is 0"),
        (fields(processes=[process(pid=2**22 + 1)]), "pid is 4194305"),
        (fields(processes=[process(start_ticks=2**63)]), "start_ticks is"),
        (fields(processes=[process(memory_identity=["1"])]), "memory_identity has 1 parts"),
        (fields(processes=[process(memory_identity="12")]), "memory_identity is not a list"),
        (fields(processes=[process(memory_identity=["1", 2])]), "memory_identity is int"),
        (fields(processes=[process(canary={"planted": [], "left": []})]), "a canary that cannot be"),
        (fields(processes=[process(canary={"planted": [1], "left": [1]})]), "a canary that cannot be"),
        (fields(processes=[process(canary={"planted": [2, 1], "left": []})]), "planted does not ascend"),
        (fields(processes=[process(canary={"planted": [1], "left": [2, 2]})]), "left does not ascend"),
        (fields(processes=[process(canary={"planted": [2**50], "left": []})]), "planted is"),
        (fields(processes=[process(canary={"planted": [True], "left": []})]), "planted is bool"),
        (fields(processes=[process(canary=[])]), "list where there should be fields"),
        (fields(criu=4.2), "4.2 is not an integer"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) and " " in value else "",
)
def test_what_cannot_have_been_written_is_damage(tmp_path: Path, content: str | bytes, why: str) -> None:
    with pytest.raises(BadImage, match=why) as caught:
        read_sidecar(put(tmp_path, content))
    assert not isinstance(caught.value, UnknownFormat)
    assert caught.value.message.isprintable()
    assert caught.value.hint == "without it the link is still good"


def test_a_fifo_in_its_place_does_not_make_us_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / SIDECAR)
    with pytest.raises(BadImage, match="not a plain file"):
        read_sidecar(tmp_path)


def test_one_larger_than_any_is_not_read(tmp_path: Path) -> None:
    put(tmp_path, "{")
    os.truncate(tmp_path / SIDECAR, 1 << 40)
    with pytest.raises(BadImage, match="1099511627776 bytes"):
        read_sidecar(tmp_path)
    put(tmp_path, "[" + "0," * limits.SIDECAR_VALUES + "0]")
    with pytest.raises(BadImage, match=f"more than {limits.SIDECAR_VALUES} values"):
        read_sidecar(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, st.sampled_from(sorted(json.loads(WHOLE.encode()))))
def test_no_value_in_place_of_a_field_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, value: object, name: str
) -> None:
    directory = tmp_path_factory.mktemp("link")
    try:
        read_sidecar(put(directory, fields(**{name: value})))
    except BadImage as error:
        said = error.message
        assert said.isprintable()


def test_the_digest_of_a_link_reads_no_more_than_a_pagemap_can_have(tmp_path: Path) -> None:
    path = tmp_path / "pagemap-1.img"
    path.write_bytes(b"x")
    before = link_digest(tmp_path)
    path.write_bytes(b"y")
    assert link_digest(tmp_path) != before
    os.truncate(path, 1 << 40)
    with pytest.raises(BadImage, match="more than any pagemap has"):
        link_digest(tmp_path)
