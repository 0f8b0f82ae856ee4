"""A core of a process that runs, with one short stop.

Pre-dumps save its memory while it runs, into a chain that nobody else sees; what it has written since is
copied in the one stop, with its registers; the core is made of that chain, which is then removed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.checkpoint.link import Cancelled, LinkProgress, LinkResult
from engine.checkpoint.memory import MemoryChain
from engine.core.of_chain import Core, make_cores
from engine.core.out import require_free
from engine.core.running import Running
from engine.errors import Cancelled as CancelledError
from engine.images.chain import read_chain
from engine.images.files import writing
from engine.pageset import PAGE_SIZE
from engine.tracking.session import Session
from engine.trust.directory import OpenDirectory

_LEAST_PAGES: Final = (4 << 20) // PAGE_SIZE
"""So little is copied in a millisecond or two: a pre-dump before would not be noticed."""
_MOST_PRE_DUMPS: Final = 5
_SHRINKS: Final = 0.5
"""A pre-dump pays if it leaves at most this part of what it wrote."""

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, bytes done and bytes in total, None while that is not known."""


@dataclass(frozen=True, slots=True)
class LiveCores:
    """What was made of a tree."""

    cores: tuple[Core, ...]
    pre_dumps: int
    stopped_us: int
    """How long the tree was stopped for the dump, and by pre-dumps where the tracker has to."""
    not_held: tuple[str, ...]
    """What the dump could not save, in words."""
    notes: tuple[str, ...]


def another_pays(written_pages: int, pending_pages: int, made: int) -> bool:
    """Whether the stop gets notably shorter by one more pre-dump.

    Args:
        written_pages: how much the last one wrote.
        pending_pages: how much was written to meanwhile.
        made: how many there are.
    """
    if made >= _MOST_PRE_DUMPS or pending_pages <= _LEAST_PAGES:
        return False
    return pending_pages <= _SHRINKS * written_pages


def make_live_cores(
    session: Session,
    above: OpenDirectory,
    name: str,
    progress: Progress,
    cancelled: Cancelled,
    *,
    pre_dumps: int | None = None,
    everything: bool = False,
    shared: bool = True,
) -> LiveCores:
    """Make a core of each process of a session's tree.

    Args:
        session: the tree; it is armed here.
        above: the directory that they go into; for a while it has a hidden one for the memory, too.
        name: of the file; if there are several processes, each has its pid behind that.
        progress: told how far it is.
        cancelled: asked often; then nothing remains.
        pre_dumps: so many; None: as long as one more makes the stop notably shorter.
        everything: hold every mapping, and not only what each process's core filter says.
        shared: hold shared memory, copied right after the stop.

    Raises:
        Cancelled: `cancelled` said so.
        LinkFailed: the disk would not take it.
        TargetGone, NotPermitted, AlreadyTraced, NotSupported: the tree cannot be tracked or stopped.
    """
    require_free(above, name)
    with _scratch(above, name) as directory:
        links = list(_links(session, directory / "chain", progress, cancelled, pre_dumps))

        def told(done_bytes: int, total_bytes: int) -> None:
            if cancelled():
                raise CancelledError("interrupted: there is no core, and the target runs on")
            progress("writing the core", done_bytes, total_bytes)

        with session.held() as processes:
            pids = {process.inner_pid: process.identity.pid for process in processes}
        with ExitStack() as held:
            cores = make_cores(
                read_chain(directory / "chain"),
                above,
                name,
                told,
                everything=everything,
                shared=shared,
                more=Running(pids, held).filler_of,
            )
        dump = links[-1]
        return LiveCores(
            cores=cores,
            pre_dumps=len(links) - 1,
            stopped_us=sum(link.stopped_us or 0 for link in links),  # those of our own engine all know it
            not_held=dump.not_held,
            notes=tuple(note for link in links for note in link.notes),
        )


def _links(
    session: Session, directory: Path, progress: Progress, cancelled: Cancelled, pre_dumps: int | None
) -> Iterator[LinkResult]:
    """Pre-dumps, and then the dump."""
    chain = MemoryChain(session, directory)
    try:
        made = 0
        while pre_dumps is None or made < pre_dumps:
            result = chain.pre_dump(_as(progress, "copying while it runs"), cancelled)
            made += 1
            yield result
            if pre_dumps is None:
                pending = session.tick().totals.pending_pages
                if not another_pays(result.pages_written, pending, made):
                    break
        yield chain.dump(progress=_as(progress, "copying what changed"), cancelled=cancelled)
    finally:
        chain.close()


def _as(progress: Progress, stage: str) -> Callable[[LinkProgress], None]:
    return lambda link: progress(stage, link.done_bytes, link.total_bytes)


@contextmanager
def _scratch(above: OpenDirectory, name: str) -> Iterator[Path]:
    """A directory that only we can enter, beside the core to be, and gone at the end."""
    with writing(above.path, "make a directory in it"):
        made = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".partial", dir=above.path))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
