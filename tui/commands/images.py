"""`dirtytop images`, `verify` and `flatten`: what to do with a chain once it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from engine.errors import BadImage, Cancelled, UnknownFormat
from engine.images.chain import flatten as flatten_chain
from engine.images.chain import read_chain
from engine.images.chain import verify as problems_of
from engine.images.files import writing
from engine.images.link import LinkInfo
from engine.images.ours import require_ours
from engine.printable import printable
from engine.trust.directory import open_directory
from engine.units import format_bytes, format_count, format_duration
from tui.commands.arguments import DIRECTORY, example, json_option, trust_option
from tui.commands.interruption import Interruption
from tui.commands.output import complain, emit, emit_json
from tui.commands.progress import ProgressLine
from tui.commands.suggested import restore_command

_UNSOUND: Final = 1
_HEADER: Final = (
    f"{'link':>4}  {'kind':<8}  {'written':>9}  {'pages':>10}  {'in parent':>10}  {'stopped':>8}  processes"
)


@click.command(
    short_help="List the links of a chain.",
    epilog=example("the chain that `dirtytop checkpoint` made", "dirtytop images /var/tmp/job"),
)
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@json_option
def images(directory: Path, as_json: bool) -> None:
    """List the chain of checkpoints in DIR, oldest link first.

    DIR is a link, or holds links 1, 2, …; then the chain of the newest is listed. The last line says
    what the chain can be used for, after the same check that `verify` does.
    """
    chain = read_chain(directory)
    infos = chain.infos()
    try:
        problems, unknown = problems_of(chain), ""
    except UnknownFormat as error:
        problems, unknown = (), error.message
    if as_json:
        wrong, is_sound = {problem.path for problem in problems}, True
        for info in infos:
            is_sound &= info.path not in wrong  # and so are those that build on it
            emit_json(info.as_json() | {"sound": None if unknown else is_sound})
        return
    emit(_HEADER)
    for info in infos:
        emit(_line(info))
    where = printable(str(infos[-1].path.parent))
    emit(f"in {where}; {unknown or _problems(len(problems)) or _use(infos[-1])}")


def _problems(count: int) -> str:
    if not count:
        return ""
    return f"not sound: {count} {'problem' if count == 1 else 'problems'}, which `dirtytop verify` names"


def _line(info: LinkInfo) -> str:
    pids = " ".join(str(pid) for pid in info.pids)
    return (
        f"{info.number:>4}  {info.kind.value:<8}  {format_bytes(info.size_bytes)}  "
        f"{format_count(info.pages_written):>10}  {format_count(info.pages_in_parent):>10}  "
        f"{format_duration(info.stopped_s):>8}  {pids}"
    )


def _use(newest: LinkInfo) -> str:
    if newest.restorable:
        return f"to restore it: {restore_command(newest.path.parent)}"
    return "memory only, not restorable"


@click.command(
    short_help="Check a chain, file by file and hole by hole.",
    epilog=example("is the chain sound?", "dirtytop verify /var/tmp/job && echo yes"),
)
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@json_option
def verify(directory: Path, as_json: bool) -> int:
    """Check the chain of checkpoints in DIR, file by file and hole by hole.

    Ends with 1 if anything is wrong, and names each problem on a line of its own.
    """
    try:
        chain = read_chain(directory)
        problems = problems_of(chain)
    except UnknownFormat:
        raise
    except BadImage as error:
        # The usual hint of such an error is to do what is being done here.
        complain(error.message, error.hint)
        return _UNSOUND
    if as_json:
        emit_json(
            {
                "schema": 1,
                "links": len(chain.links),
                "sound": not problems,
                "problems": [
                    {"path": printable(str(problem.path)), "text": problem.text} for problem in problems
                ],
            }
        )
        return _UNSOUND if problems else 0
    for problem in problems:
        emit(f"{printable(str(problem.path))}: {problem.text}")
    if problems:
        return _UNSOUND
    emit(f"sound: {_links(len(chain.links))}")
    return 0


def _links(count: int) -> str:
    return f"{count} link" if count == 1 else f"{count} links"


@click.command(
    short_help="Make one link of a whole chain.",
    epilog=example("one link in place of many", "dirtytop flatten /var/tmp/job /var/tmp/job-flat"),
)
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@click.argument("out", metavar="OUT", type=DIRECTORY)
@trust_option("Do it even if users other than you and root can change DIR or replace OUT.")
@json_option
def flatten(directory: Path, out: Path, trusts_directory: bool, as_json: bool) -> None:
    """Write the memory at the end of the chain in DIR as a single link without a parent, into OUT.

    The chain is checked first, as `verify` does; if it is not sound, nothing is written.
    """
    chain = read_chain(directory)
    if not trusts_directory:
        require_ours(chain)  # what is made of it looks as if it were ours from the start
    with writing(out.parent, "open this directory"):
        above = open_directory(out.parent, trusts=trusts_directory)
    with above, Interruption() as interruption, ProgressLine("flattening") as line:

        def go_on(done_bytes: int, total_bytes: int) -> None:
            if interruption.has_come():
                raise Cancelled("interrupted: nothing was written")
            line.show("writing", done_bytes, total_bytes)

        flatten_chain(chain, out, go_on, above)
    info = read_chain(out).infos()[-1]
    if as_json:
        emit_json(info.as_json() | {"links": len(chain.links)})
        return
    size = format_bytes(info.size_bytes).strip()
    emit(f"{_links(len(chain.links))} became one: {size} in {printable(str(info.path))}")
