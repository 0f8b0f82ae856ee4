"""Damages chains and has everything read them: `python -m tests.images.fuzzing SEED FIRST COUNT`.

Case number n of a seed is always the same. Each reader may say what is wrong, and may not fail in any other
way, take long, or take much memory. And what is made of a chain that is said to be sound has to be what
the reference reader finds in it.
"""

from __future__ import annotations

import io
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random

from engine.checkpoint.criu.compatibility import require_not_older
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.link import Engine
from engine.checkpoint.resuming import engine_of, read_open_chain, require_chain_of, why_not_the_same
from engine.checkpoint.sidecar import read_sidecar
from engine.errors import BadImage, DirtytopError, LinkFailed, UnknownFormat
from engine.images.areas import link_areas
from engine.images.chain import ChainMemory, ImageChain, flatten, read_chain, verify
from engine.images.never_lazy import never_lazy_pages
from engine.images.verify import examine
from engine.kernel.process import Identity
from engine.pageset import PAGE_SHIFT
from tests.images import reference
from tests.images.corpus import build, snapshot
from tests.images.damage import Damage
from tests.images.mutations import MUTATIONS, repair

MEMORY_BYTES = 256 << 20
"""What readers may take beyond what Python and its modules have."""
CASE_S = 60
_SMALL_BYTES = 4 << 20
_MOST_PAGES = 10_000
_HUGE_BYTES = 1 << 40
_OLD_CRIU = Criu(Path("criu"), (4, 1, 1), "", has_memory_tracking=True)


@contextmanager
def chains() -> Iterator[tuple[list[tuple[Path, dict[Path, bytes | str]]], Path]]:
    """The chains, each with all that is in it, and a directory for what is made of them."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        corpus, out = Path(name) / "corpus", Path(name) / "out"
        corpus.mkdir()
        out.mkdir()
        yield [(chain, snapshot(chain)) for chain in build(corpus)], out


def run(seed: str, first: int, count: int) -> Counter[str]:
    """Run some cases; how often each end was met.

    Raises:
        AssertionError: a case went wrong; it says which.
    """
    ends: Counter[str] = Counter()
    with chains() as (found, out):
        _limit_memory()
        for number in range(first, first + count):
            random = Random(f"{seed} {number}")
            damage = Damage(*random.choice(found), random)
            signal.alarm(CASE_S)
            try:
                for mutate in random.choices(MUTATIONS, k=random.choice((1, 1, 1, 2, 3))):
                    damage.done.append(mutate.__name__)
                    mutate(damage)
                if random.random() < 0.4:
                    damage.done.append("repair")
                    repair(damage)
                ends[read_all(damage, out)] += 1
            except BaseException as error:
                raise AssertionError(
                    f"seed {seed}, case {number}: {damage.chain.name}, {damage.done}"
                ) from error
            finally:
                signal.alarm(0)
                damage.undo()
    return ends


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, ((pages << PAGE_SHIFT) + MEMORY_BYTES,) * 2)


def read_all(damage: Damage, out: Path) -> str:
    """Have every reader read the chain; what became of it."""
    directory = damage.chain
    for link in damage.links:
        said(lambda link=link: read_sidecar(link))  # type: ignore[misc]
        said(lambda link=link: never_lazy_pages(link, 42))  # type: ignore[misc]
    if damage.random.random() < 0.05:
        _ask_the_command_line(directory)
    said(lambda: engine_of(read_open_chain(directory)))
    try:
        chain = read_chain(directory)
        chain.infos()
    except UnknownFormat:
        return "unknown"
    except BadImage:
        return "unreadable"
    said(lambda: _go_on(chain))
    return _judge(chain, out)


def said(ask: Callable[[], object]) -> None:
    """Ask, and take any error of ours for an answer."""
    answer = ""
    try:
        ask()
    except DirtytopError as error:
        answer = error.message
    assert not answer or answer.isprintable(), answer


def _go_on(chain: ImageChain) -> None:
    sidecar = require_chain_of(chain, Identity(42, 7), Engine.MEMORY)
    why_not_the_same(chain, sidecar)


def _ask_the_command_line(directory: Path) -> None:
    from tui.cli import main

    for command in (["images"], ["images", "--json"], ["verify"]):
        with redirect_stdout(io.StringIO()) as written, redirect_stderr(io.StringIO()) as complaint:
            code = main([*command, str(directory)])
        assert code in (0, 1, 5), code
        for line in (written.getvalue() + complaint.getvalue()).splitlines():
            assert line.isprintable(), line


def _judge(chain: ImageChain, out: Path) -> str:
    """Look at a chain, and at what is made of it."""
    for link in chain.links:
        said(lambda link=link: link_areas(link, {}))  # type: ignore[misc]
    for name in chain.links[-1].pagemap_names:
        said(lambda name=name: _read_some(chain, name))  # type: ignore[misc]
    try:
        found = examine(chain)
    except UnknownFormat:
        _expect(UnknownFormat, chain, out)
        return "unknown"
    said(lambda: require_not_older(_OLD_CRIU, chain.links[-1], found))
    if found.problems:
        assert all(problem.text.isprintable() for problem in found.problems)
        _expect(BadImage, chain, out)
        return "unsound"
    size_bytes = found.size_bytes + _copied_bytes(chain)
    if size_bytes > _HUGE_BYTES:
        _expect(LinkFailed, chain, out)
    if size_bytes > _SMALL_BYTES:
        return "sound and large"
    if sum(info.pages_written + info.pages_in_parent for info in chain.infos()) > _MOST_PAGES:
        flatten(chain, out / "flat")
        shutil.rmtree(out / "flat")
        return "sound, and more than the reference reader can take"
    flatten(chain, out / "flat")
    flat = read_chain(out / "flat")
    assert verify(flat) == ()
    last = chain.links[-1]
    assert flat.links[0].pagemap_names == last.pagemap_names
    for name in last.pagemap_names:
        expected = reference.memory_at_the_end(last.path, name)
        assert reference.memory_at_the_end(out / "flat", name) == expected
        _compare(ChainMemory.named(chain, name), expected)
    shutil.rmtree(out / "flat")
    return "sound"


def _expect(kind: type[DirtytopError], chain: ImageChain, out: Path) -> None:
    """Nothing is to be made of it."""
    try:
        flatten(chain, out / "flat")
    except kind:
        assert not os.listdir(out)
        return
    raise AssertionError("something was made of a chain of which nothing can be made")


def _compare(memory: ChainMemory, expected: dict[int, tuple[bool, bytes]]) -> None:
    found = {}
    for pages, lazy, data in memory.pieces():
        for at, page in enumerate(pages.pages().tolist()):
            found[page] = (page in lazy, bytes(data[at * reference.PAGE : (at + 1) * reference.PAGE]))
    assert found == expected


def _read_some(chain: ImageChain, name: str) -> None:
    read_bytes = 0
    for _, data in ChainMemory.named(chain, name).read():
        read_bytes += len(data)
        if read_bytes > _SMALL_BYTES:
            return


def _copied_bytes(chain: ImageChain) -> int:
    last = chain.links[-1]
    return sum(os.lstat(last.path / name).st_size for name in last.other_names)


if __name__ == "__main__":
    _, seed, first, count = sys.argv
    print(dict(run(seed, int(first), int(count))))
