"""`dirtytop core`: a core for a debugger, of a process that runs or of a link."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from engine.core.live import make_live_cores
from engine.core.of_chain import Core, make_cores
from engine.errors import Cancelled
from engine.images.chain import read_chain
from engine.images.files import writing
from engine.images.ours import require_ours
from engine.printable import printable
from engine.tracking.session import Session
from engine.trust.directory import OpenDirectory, open_directory
from engine.units import format_bytes, format_duration
from tui.commands.arguments import PID, example, json_option, trust_option
from tui.commands.interruption import Interruption
from tui.commands.output import emit, emit_json, remark
from tui.commands.progress import ProgressLine


class _Source(click.ParamType[int | Path]):
    """A process, or a link: what holds a directory's name, or is one, is that of a link."""

    name = "pid|dir"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Path:
        if isinstance(value, int | Path):
            return value
        text = str(value)
        if not text.isdecimal() and (os.sep in text or os.path.isdir(text)):
            return Path(text)
        return PID.convert(text, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Directories once that is what it looks like; processes otherwise."""
        if os.sep in incomplete:
            return [CompletionItem(incomplete, type="dir")]
        return PID.shell_complete(ctx, param, incomplete)


@click.command(
    short_help="Make a core for gdb, with hardly a pause.",
    epilog=example("look into process 1234 as it is now", "dirtytop core 1234 && gdb -c core.1234"),
)
@click.argument("source", metavar="PID|DIR[/N]", type=_Source())
@click.argument("out", metavar="[OUT]", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--pre-dumps",
    type=click.IntRange(min=0),
    help="Copy memory so often while the target runs. [default: while it makes the stop notably shorter]",
)
@click.option("--all", "everything", is_flag=True, help="Hold every mapping, those of unchanged files too.")
@click.option("--no-shared", is_flag=True, help="Leave shared memory out.")
@trust_option("Do it although others than you and root can change DIR, or exchange OUT.")
@json_option
def core(
    source: int | Path,
    out: Path | None,
    pre_dumps: int | None,
    everything: bool,
    no_shared: bool,
    trusts_directory: bool,
    as_json: bool,
) -> None:
    """Make a core for a debugger: of process PID and its descendants, or of link DIR/N of a chain.

    A process is copied while it runs, and stopped only for what it writes meanwhile. It runs on. The core is
    OUT, core.PID if that is left out; of several processes each has its own, OUT.PID.

    A core of a link shows the process as it was then. One of a pre-dump has memory alone, and is torn.
    """
    context = click.get_current_context()
    if isinstance(source, Path):
        if out is None:
            raise click.UsageError("name the file that the core of a link is to go into", context)
        if pre_dumps is not None:
            raise click.UsageError("--pre-dumps goes with a process, not with a link", context)
    target = out or Path(f"core.{source}")
    with writing(target.parent, "open this directory"):
        above = open_directory(target.parent, trusts=trusts_directory)
    with above:
        if isinstance(source, Path):
            cores, facts = _of_link(source, above, target.name, everything, not no_shared, trusts_directory)
        else:
            cores, facts = _of_process(source, above, target.name, pre_dumps, everything, not no_shared)
    for made in cores:
        if as_json:
            emit_json(_as_json(made) | facts)
        else:
            emit(_line(made, facts))
        for text in () if as_json else made.made.process.remarks:
            remark(text)


def _of_process(
    pid: int, above: OpenDirectory, name: str, pre_dumps: int | None, everything: bool, shared: bool
) -> tuple[tuple[Core, ...], dict[str, Any]]:
    with Interruption() as interruption, ProgressLine(f"core of {pid}") as line, Session(pid) as session:
        made = make_live_cores(
            session,
            above,
            name,
            line.show,
            interruption.has_come,
            pre_dumps=pre_dumps,
            everything=everything,
            shared=shared,
        )
    for note in made.notes:
        remark(note)
    return made.cores, {"stopped_us": made.stopped_us, "pre_dumps": made.pre_dumps}


def _of_link(
    directory: Path, above: OpenDirectory, name: str, everything: bool, shared: bool, trusts: bool
) -> tuple[tuple[Core, ...], dict[str, Any]]:
    chain = read_chain(directory)
    if not trusts:
        require_ours(chain)  # files that images name are read, and what they say is believed
    with Interruption() as interruption, ProgressLine("core") as line:

        def go_on(done_bytes: int, total_bytes: int) -> None:
            if interruption.has_come():
                raise Cancelled("interrupted: there is no core")
            line.show("writing", done_bytes, total_bytes)

        cores = make_cores(chain, above, name, go_on, everything=everything, shared=shared)
    return cores, {"stopped_us": None, "pre_dumps": None}


def _line(core: Core, facts: dict[str, Any]) -> str:
    made = core.made
    size = format_bytes(made.written_bytes).strip()
    what = f"{printable(str(core.path))}: {size} of process {made.process.pid}"
    threads = len(made.process.threads)
    count = "no registers" if not threads else "1 thread" if threads == 1 else f"{threads} threads"
    stopped_us = facts["stopped_us"]
    if stopped_us is None:
        return f"{what}, {count}"
    return f"{what}, {count}; it was stopped for {format_duration(stopped_us / 1e6).strip()}"


def _as_json(core: Core) -> dict[str, Any]:
    made = core.made
    return {
        "schema": 1,
        "path": str(core.path),
        "pid": made.process.pid,
        "threads": len(made.process.threads),
        "bytes": made.size_bytes,
        "written_bytes": made.written_bytes,
        "torn": not made.process.threads,
        "remarks": list(made.process.remarks),
    }
