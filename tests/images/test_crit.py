"""CRIU's own reader understands what we write. It comes with Debian's `criu` package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine.images.framing import Magic, pack
from engine.images.layout import LinkKind, is_pagemap
from engine.images.pagemap import read_pagemap
from tests.images.building import aarch64_core, write_link

CRIT = shutil.which("crit")

pytestmark = pytest.mark.skipif(CRIT is None, reason="crit is not installed (apt-get install criu)")


def crit(*arguments: str | Path) -> None:
    # It belongs to the system's Python: ours, first on the path or in the environment, lacks its modules.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PATH"] = "/usr/local/bin:/usr/bin:/bin"
    done = subprocess.run(
        [CRIT or "crit", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr


def decode(image: Path, scratch: Path) -> dict[str, Any]:
    crit("decode", "-i", image, "-o", scratch / "decoded")
    decoded: dict[str, Any] = json.loads((scratch / "decoded").read_text())
    return decoded


def encode_again(scratch: Path) -> bytes:
    crit("encode", "-i", scratch / "decoded", "-o", scratch / "encoded")
    return (scratch / "encoded").read_bytes()


@pytest.fixture
def links(tmp_path: Path) -> tuple[Path, Path]:
    """A pre-dump and a dump, with an image of every kind that we write."""
    chain = tmp_path / "chain"
    chain.mkdir()
    base = 0x7F00_0000_0
    first = write_link(chain / "1", {42: {base + page: page for page in range(9)}})
    second = write_link(
        chain / "2",
        {42: {base + 2: 2}},
        {42: [base, base + 1, *range(base + 3, base + 9)]},
        parent=first,
        kind=LinkKind.DUMP,
    )
    return first, second


def test_crit_decodes_every_image_and_encodes_the_same_bytes_again(
    links: tuple[Path, Path], tmp_path: Path
) -> None:
    decoded = set()
    for link in links:
        for image in sorted([*link.glob("*.img"), link / "stats-dump"]):
            if image.name.startswith("pages-"):
                continue
            assert decode(image, tmp_path)["entries"], image
            again = encode_again(tmp_path)
            if is_pagemap(image.name) and again != image.read_bytes():
                # Before 4.2 it knew one of the two fields for the length, and drops the other.
                (tmp_path / "encoded.img").write_bytes(again)
                assert read_pagemap(tmp_path / "encoded.img").encode() == image.read_bytes()
            else:
                assert again == image.read_bytes(), image
            decoded.add(image.name)
    assert decoded == {
        "core-42.img", "core-1042.img", "inventory.img", "mm-42.img", "pagemap-42.img", "pstree.img",
        "stats-dump",
    }  # fmt: skip


def test_crit_sees_the_lengths_and_the_holes(links: tuple[Path, Path], tmp_path: Path) -> None:
    crit("show", links[1] / "pagemap-42.img")
    entries = decode(links[1] / "pagemap-42.img", tmp_path)["entries"]
    assert entries[0] == {"pages_id": 1}
    assert [entry.get("nr_pages", entry.get("compat_nr_pages")) for entry in entries[1:]] == [2, 1, 6]


def test_crit_decodes_the_registers_of_the_other_architecture(tmp_path: Path) -> None:
    image = tmp_path / "core-7.img"
    image.write_bytes(pack(Magic.CORE, [aarch64_core(7, True)]))
    assert decode(image, tmp_path)["entries"][0]["mtype"] == "AARCH64"
    assert encode_again(tmp_path) == image.read_bytes()
