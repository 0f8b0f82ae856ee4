"""Makes the cores of a link: one for each process, whatever made the link."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from engine.core.filling import Filler, Fillers
from engine.core.from_images import Described, describe
from engine.core.out import CoreFile
from engine.core.process import CoreMapping, CoreProcess
from engine.core.selection import ALL, Filter
from engine.core.writer import Made, Progress, write_core
from engine.errors import LinkFailed
from engine.images.chain import require_sound
from engine.images.link import ImageChain
from engine.images.memory import ChainMemory
from engine.pageset import PageSet
from engine.trust.directory import OpenDirectory

FillerOf = Callable[[CoreProcess, CoreMapping, PageSet], Filler | None]
"""Where these pages of a mapping of a file come from, if they are to be had."""


class Core(NamedTuple):
    """A core that is there."""

    path: Path
    made: Made


def make_cores(
    chain: ImageChain,
    above: OpenDirectory,
    name: str,
    progress: Progress,
    *,
    everything: bool = False,
    shared: bool = True,
    more: FillerOf | None = None,
) -> tuple[Core, ...]:
    """Make a core of each process at the end of a chain: all of them, or none.

    Args:
        chain: whether it is sound is seen first.
        above: the directory that they go into.
        name: of the file; if there are several processes, each has its pid behind that.
        progress: told after each piece, of all of them together.
        everything: hold every mapping, and not only what the process's core filter says.
        shared: hold shared memory, as far as it is to be had.
        more: asked for what files hold, in place of the files.

    Raises:
        BadImage: the chain is not sound. UnknownFormat: it is newer than what we understand.
        NotSupported: its processes are of an architecture that we make no cores for.
        LinkFailed: a core could not be written.
    """
    require_sound(chain)
    described = describe(chain)
    with ExitStack() as files, Fillers(chain) as fillers:
        found = [
            (process, files.enter_context(CoreFile(above, file_name)))
            for process, file_name in _names(described, name)
        ]
        done_before = 0
        cores = []
        for process, file in found:

            def filler_of(
                mapping: CoreMapping, pages: PageSet, process: CoreProcess = process
            ) -> Filler | None:
                if more is not None and mapping.name:
                    return more(process, mapping, pages)
                return fillers.of(mapping)

            def tell(done: int, of: int, before: int = done_before) -> None:
                progress(before + done, max(before + of, before + done))

            made = write_core(
                file,
                described.machine,
                process,
                ChainMemory(chain, process.pid),
                filler_of,
                _chosen(process, everything=everything, shared=shared),
                tell,
            )
            done_before += made.written_bytes
            cores.append(Core(file.path, made))
        _publish([file for _, file in found])
    return tuple(cores)


def _chosen(process: CoreProcess, *, everything: bool, shared: bool) -> int:
    chosen = ALL if everything else process.coredump_filter
    return chosen if shared else chosen & ~(Filter.ANON_SHARED | Filter.HUGE_SHARED)


def _names(described: Described, name: str) -> list[tuple[CoreProcess, str]]:
    processes = described.processes
    if len(processes) == 1:
        return [(processes[0], name)]
    return [(process, f"{name}.{process.pid}") for process in processes]


def _publish(files: list[CoreFile]) -> None:
    named: list[CoreFile] = []
    try:
        for file in files:
            file.publish()
            named.append(file)
    except LinkFailed:
        for file in named:
            file.take_back()
        raise
