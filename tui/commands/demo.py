"""`dirtytop demo`: a target with a known write rate, watched and checkpointed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from engine.checkpoint.link import Engine
from engine.printable import printable
from engine.units import format_bytes
from engine.workloads import SCENARIOS, Scenario, start
from tui.commands.arguments import DIRECTORY, TRUSTED_TO_HOLD, example, trust_option
from tui.commands.dashboard import has_terminal
from tui.commands.output import emit

_FIRST: Final = "steady"
_TOUR: Final = "tour"
_TICKS: Final = 10
_PRE_DUMPS: Final = 2
_INTERVAL_S: Final = 0.3


@click.command(
    short_help="Watch a process that writes memory at a known rate.",
    epilog=example("memory that is written in bursts", "dirtytop demo bursts"),
)
@click.argument("scenario", type=click.Choice(list(SCENARIOS)), default=_FIRST)
@click.option("--list", "only_list", is_flag=True, help="List the scenarios with their true rates.")
@click.option("--dir", "directory", type=DIRECTORY, help="Keep the chain of checkpoints here.")
@trust_option(TRUSTED_TO_HOLD)
def demo(scenario: str, only_list: bool, directory: Path | None, trusts_directory: bool) -> int:
    """Start a process that writes memory at a known rate, and watch it.

    On a terminal this opens the dashboard, armed. Without one (in a pipe, in CI) the same is done as
    lines: ten ticks, two pre-dumps, a dump, and a check of the chain.

    "tour" goes through steady writing, a burst, a lull and growth, for you to tell the story. As lines
    it waits for the lull to dump, and restores the dump where CRIU can.
    """
    if only_list:
        _list()
        return 0
    if scenario == _TOUR:
        return _tour(directory, trusts_directory)
    with _chain_directory(directory) as chain_directory, start(scenario) as workload:
        if has_terminal():
            from tui.app import run  # Textual takes longer to import than all the rest

            # CRIU would not save the socket by which we ask the workload how far it is.
            return run(
                [workload.pid],
                arm=True,
                directory=chain_directory,
                engine=Engine.MEMORY,
                trusts_directory=trusts_directory,
            )
        _run_as_lines(workload.scenario, workload.pid, chain_directory, trusts_directory)
        return 0


def _tour(directory: Path | None, trusts_directory: bool) -> int:
    from engine.workloads.tour import TOUR_STOP_BUDGET_S, Tour

    if has_terminal():
        from tui.app import run

        with _chain_directory(directory) as chain_directory, Tour() as tour:
            return run(
                [tour.pid],
                arm=True,
                directory=chain_directory,
                stop_budget_s=TOUR_STOP_BUDGET_S,
                trusts_directory=trusts_directory,
            )
    from tui.commands.interruption import Interruption
    from tui.commands.tour import QUICK, narrate

    with (
        _chain_directory(directory) as chain_directory,
        Interruption() as interruption,
        Tour(**QUICK) as tour,
    ):
        emit(f"{_TOUR}: {tour.scenario.description}")
        narrate(tour, chain_directory, interruption, trusts_directory=trusts_directory)
    return 0


def _list() -> None:
    width = max(map(len, SCENARIOS))
    for scenario in SCENARIOS.values():
        emit(f"{scenario.name:<{width}}  {format_bytes(scenario.memory_bytes)}  {scenario.description}")


@contextmanager
def _chain_directory(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        yield wanted
        if wanted.exists():
            emit(f"the checkpoints are in {printable(str(wanted))}")
        return
    with tempfile.TemporaryDirectory(prefix="dirtytop-demo-") as temporary:
        chain = Path(temporary) / "chain"
        yield chain
        if chain.exists():
            emit(f"removing {printable(temporary)}, where the chain was; `--dir` keeps it")


def _run_as_lines(scenario: Scenario, pid: int, directory: Path, trusts_directory: bool) -> None:
    # The dashboard needs none of these, and a terminal should not wait for them.
    from engine.checkpoint.link import After
    from engine.checkpoint.memory import MemoryChain
    from engine.images.chain import read_chain, require_sound
    from engine.tracking.session import Session
    from tui.commands.checkpoint import emit_link, make_links
    from tui.commands.interruption import Interruption
    from tui.commands.watch import Lines, follow

    emit(f"{scenario.name}: {scenario.description}")
    with Interruption() as interruption, Session(pid) as session:
        session.arm()
        emit(f"watching {pid} by {session.tracker.value}, {session.mode.value}")
        follow(session, _INTERVAL_S, _TICKS, interruption, Lines().emit)
        chain = MemoryChain(session, directory, trusts_directory=trusts_directory)
        make_links(chain, _PRE_DUMPS, _INTERVAL_S, After.RUN, interruption, emit_link)
    require_sound(read_chain(directory))
    emit(f"verified: {len(chain.links)} links, and nothing wrong with them")
