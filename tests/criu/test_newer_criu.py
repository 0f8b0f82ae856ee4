"""What CRIU 4.2 and later dump is not restored by older ones as something else, without a word."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.criu.compatibility import require_not_older
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.restore import restore
from engine.checkpoint.link import After
from engine.checkpoint.sidecar import read_sidecar
from engine.errors import NotSupported
from engine.images.chain import read_chain, require_sound
from engine.images.framing import Magic, pack
from engine.images.layout import SIDECAR, is_pagemap
from engine.images.lengths import fill_old_lengths
from engine.images.proto.pagemap_pb2 import PagemapEntry, PagemapHead
from engine.tracking.session import Session
from tests.criu.outliving import Outliving
from tests.images.reference import fields_of

NEW = (4, 2, 0)

# It writes into shared memory once, and looks at it whenever it is asked.
_SCRIPT = """\
import mmap, os
memory = mmap.mmap(-1, 64 * mmap.PAGESIZE)
memory[:] = b"s" * len(memory)
print("ready", flush=True)
while os.read(0, 1):
    held = memory[:]
    print("ok" if held == b"s" * len(memory) else "wrong" if held.strip(b"\\0") else "zeros", flush=True)
"""


class Files:
    """The images of a link, as the code that makes them has them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def reading(self) -> Iterator[Path]:
        yield self.path

    def write(self, name: str, content: bytes) -> None:
        (self.path / name).write_bytes(content)

    def replace(self, name: str, replaced: str) -> None:
        (self.path / name).rename(self.path / replaced)


def rewrite_as_new_criu(link: Path, prefix: str = "pagemap-") -> None:
    """The length into the field that older ones do not know, and zero into theirs."""
    for path in link.iterdir():
        if is_pagemap(path.name) and path.name.startswith(prefix):
            head, *entries = fields_of(path.read_bytes())
            rewritten = [
                PagemapEntry(vaddr=fields[1], compat_nr_pages=0, flags=fields[4], nr_pages=fields[2])
                for fields in entries
            ]
            path.write_bytes(pack(Magic.PAGEMAP, [PagemapHead(pages_id=head[1]), *rewritten]))


@pytest.fixture
def dumped(criu: Criu, tmp_path: Path, chain_directory: Path) -> tuple[Outliving, Path]:
    """What has shared memory, killed; and its dump, with lengths that all read."""
    script = tmp_path / "shares.py"
    script.write_text(_SCRIPT)
    target = Outliving(tmp_path, script)
    with Session(target.pid) as session:
        link = CriuChain(session, chain_directory, criu=criu).dump(After.KILL).path
    target.bury()
    return target, link


def older(criu: Criu) -> Criu:
    if criu.version >= NEW:
        pytest.skip(f"criu {criu.version_text} knows the new lengths")
    return criu


def test_an_older_one_makes_zeros_of_shared_memory_and_says_that_all_went_well(
    criu: Criu, dumped: tuple[Outliving, Path], tmp_path: Path
) -> None:
    target, link = dumped
    with target:
        rewrite_as_new_criu(link, "pagemap-shmem-")
        work = tmp_path / "work"
        work.mkdir()
        command = [str(older(criu).program), "restore", "-D", str(link), "-W", str(work), "-d"]
        assert subprocess.run(command, check=False).returncode == 0
        assert target.ask() == "zeros"


def test_so_we_do_not_ask_it(criu: Criu, dumped: tuple[Outliving, Path]) -> None:
    target, link = dumped
    with target:
        (link / SIDECAR).unlink()  # as if criu had been called by hand
        rewrite_as_new_criu(link, "pagemap-shmem-")
        with pytest.raises(NotSupported, match=r"was made by criu 4\.2: this one, .*, is older") as refused:
            restore(link, criu=older(criu))
        assert "criu 4.2 or a newer one in the variable DIRTYTOP_CRIU" in refused.value.hint


def test_with_both_lengths_it_restores_what_was_there(criu: Criu, dumped: tuple[Outliving, Path]) -> None:
    target, link = dumped
    with target:
        rewrite_as_new_criu(link)
        fill_old_lengths(Files(link))  # type: ignore[arg-type]
        restore(link, criu=criu)
        assert target.ask() == "ok"


def test_a_dump_says_which_criu_made_it(criu: Criu, dumped: tuple[Outliving, Path]) -> None:
    target, link = dumped
    with target:
        sidecar = read_sidecar(link)
        assert sidecar is not None
        assert sidecar.criu == criu.version_text
        found = require_sound(read_chain(link))
        dump = read_chain(link).links[-1]
        require_not_older(criu, dump, found)
        require_not_older(replace(criu, version=(99, 0, 0)), dump, found)
        with pytest.raises(NotSupported, match="is older"):
            require_not_older(replace(criu, version=(3, 0, 0)), dump, found)


def test_what_it_says_is_no_condition(criu: Criu, dumped: tuple[Outliving, Path]) -> None:
    target, link = dumped
    with target:
        (link / SIDECAR).write_text("damaged")
        restore(link, criu=criu)
        assert target.ask() == "ok"
