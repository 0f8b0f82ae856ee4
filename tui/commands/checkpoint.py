"""`dirtytop checkpoint`: a whole chain in one go."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource

from engine.checkpoint.chain import Chain
from engine.checkpoint.criu.options import CriuOptions
from engine.checkpoint.dumpable import CannotDump, Chosen, choose_engine, require_dumpable
from engine.checkpoint.engines import go_on, open_chain
from engine.checkpoint.freeze_limit import BEYOND_S
from engine.checkpoint.kinds import kind_of
from engine.checkpoint.link import After, Engine, LinkResult
from engine.checkpoint.resuming import engine_of, read_open_chain, tracker_of
from engine.errors import Cancelled, DirtytopError, LinkFailed
from engine.images.layout import LinkKind
from engine.printable import printable
from engine.tracking.cost_budget import DEFAULT_BUDGET, CostBudget
from engine.tracking.session import Session
from engine.tracking.trackers import abilities_of
from tui.commands.arguments import (
    DIRECTORY,
    PID,
    SECONDS,
    TRUSTED_TO_HOLD,
    cost_budget_option,
    example,
    json_option,
    trust_option,
)
from tui.commands.criu_options import criu_options, given_options
from tui.commands.findings import finding_lines
from tui.commands.interruption import Interruption
from tui.commands.output import OutputClosed, emit, emit_json, is_read, remark
from tui.commands.progress import ProgressLine
from tui.commands.suggested import restore_command
from tui.commands.waiting import Waiter, prepare_to_wait, tracker_to_wait_by
from tui.commands.when_options import When, given_when, when_options
from tui.words import describe_cost, describe_link, link_name

_AUTO: Final = "auto"


@click.command(
    short_help="Take a checkpoint of a process, as a chain of links.",
    epilog=example(
        "three pre-dumps two seconds apart, then the dump; the target runs on",
        "dirtytop checkpoint 1234 /var/tmp/job --engine spliced --pre-dumps 3 --every 2",
    ),
)
@click.argument("pid", type=PID)
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@click.option(
    "--pre-dumps", type=click.IntRange(min=0), default=2, show_default=True, help="Links before the dump."
)
@click.option("--every", type=SECONDS, default=2.0, show_default=True, help="Seconds between links.")
@click.option(
    "--engine",
    type=click.Choice([_AUTO, *(engine.value for engine in Engine)]),
    default=_AUTO,
    show_default=True,
    help="Who writes the images: memory (ours: memory and registers, not restorable), criu (all of it, "
    "for `dirtytop restore`), or spliced (the same, with pre-dumps of ours on any kernel); "
    "auto is spliced where criu can dump the target, else memory.",
)
@click.option(
    "--after",
    type=click.Choice([after.value for after in After]),
    default=After.RUN.value,
    show_default=True,
    help="What becomes of the target once it is dumped; stop leaves it stopped by SIGSTOP.",
)
@click.option(
    "--continue",
    "goes_on",
    is_flag=True,
    help="Go on with the chain in DIR, which an earlier dirtytop began; a chain of criu's goes on with criu.",
)
@click.option(
    "--no-preflight",
    is_flag=True,
    help="Not look first whether criu can dump the target: a dump may fail after all pre-dumps were made.",
)
@click.option(
    "--freeze-timeout",
    "freeze_timeout_s",
    type=SECONDS,
    default=BEYOND_S,
    show_default=True,
    help="Seconds, beyond what it takes on a slow machine, that a link may keep the target stopped; then the "
    "target goes on, and the link is given up.",
)
@trust_option(TRUSTED_TO_HOLD)
@when_options
@cost_budget_option
@criu_options
@json_option
def checkpoint(
    pid: int,
    directory: Path,
    pre_dumps: int,
    every: float,
    engine: str,
    after: str,
    goes_on: bool,
    no_preflight: bool,
    freeze_timeout_s: float,
    trusts_directory: bool,
    cost_budget: CostBudget | None,
    as_json: bool,
) -> None:
    """Take a checkpoint of process PID and its descendants, as a chain of links DIR/1, DIR/2, …

    Pre-dumps save memory while the target runs, so that little is left for the dump, which stops it.
    With --when, a link is made when it pays, not by the clock.
    Before anything is touched, a check looks for what would make the dump fail (`dirtytop doctor PID`).
    Ctrl-C gives up cleanly: finished links stay, and the target runs on.
    """
    earlier = read_open_chain(directory) if goes_on else None
    begun = engine_of(earlier) if earlier is not None else None
    options = given_options()
    if options and engine == Engine.MEMORY.value:
        raise click.UsageError(
            "CRIU's options go with `--engine criu` and `--engine spliced` only", click.get_current_context()
        )
    wanted = None if engine == _AUTO else Engine(engine)
    if wanted is None and begun is Engine.CRIU:
        wanted = begun
    when = _what_to_wait_for(wanted, pre_dumps, every)
    emit_one = emit_object if as_json else emit_link
    # An epoch that may be taken over is of the tracker that began it; that of write-protection has ended.
    may_take_over = earlier is not None and abilities_of(tracker_of(earlier)).survives_us
    tracker = tracker_to_wait_by() if when and not may_take_over else None
    with Interruption() as interruption, Session(pid, tracker, cost_budget or DEFAULT_BUDGET) as session:
        # Nothing of the target has been touched until here.
        maker = _engine_for(pid, wanted, options, checked=not no_preflight)
        chosen = maker.engine

        def show(result: LinkResult) -> None:
            emit_one(_with_note(result, _in_full(maker)))

        if when and not goes_on:
            prepare_to_wait(session)
        if pre_dumps and not when:
            kind_of(chosen).require_pre_dump()
        options = options or CriuOptions()
        # Pre-flight was a moment ago.
        if goes_on:
            chain = go_on(
                chosen, session, directory, options, checked=False, freeze_timeout_s=freeze_timeout_s
            )
        else:
            chain = open_chain(
                chosen,
                session,
                directory,
                options,
                checked=False,
                trusts_directory=trusts_directory,
                freeze_timeout_s=freeze_timeout_s,
            )
        try:
            if when:
                if goes_on:
                    prepare_to_wait(session, goes_on=True)
                waiter = Waiter(session, chain, when, interruption, show, as_json=as_json, goes_on=goes_on)
                waiter.run(After(after))
            else:
                make_links(chain, pre_dumps, every, After(after), interruption, show)
        except DirtytopError as error:
            if wanted is None and chosen is Engine.SPLICED and isinstance(error, LinkFailed):
                error.hint = f"{error.hint or 'see the log'}; `--engine memory` does without criu"
            error.hint = _what_is_there(chain, error.hint)
            raise
        finally:
            chain.close()
        if chain.links[-1].restorable and not as_json:
            config = options.config_file if options is not None else None
            with suppress(OutputClosed):
                emit(f"to restore it: {restore_command(directory, config)}")


def _engine_for(pid: int, wanted: Engine | None, options: CriuOptions | None, *, checked: bool) -> Chosen:
    """Who makes the links, once pre-flight has found nothing against it.

    Raises:
        CannotDump: pre-flight has found why not; all of it has been said.
        NotSupported, NotPermitted: CRIU does not work here, and is wanted.
        TargetGone: there is no such process.
    """
    if not checked:
        remark("without pre-flight: if criu cannot dump the target, that shows only at the end")
    try:
        if wanted is not None:
            if checked and kind_of(wanted).uses_criu:
                require_dumpable(wanted, pid, options)
            return Chosen(wanted)
        chosen = choose_engine(pid, options, checked=checked)
    except CannotDump as error:
        against = error.preflight.against(error.engine)
        for line in finding_lines(against) if len(against) > 1 else ():
            remark(line)
        error.hint = f"{error.hint}; `--no-preflight` tries anyway".removeprefix("; ")
        raise
    if chosen.engine is Engine.MEMORY and is_read():
        remark(_in_full(chosen))
    return chosen


def _in_full(chosen: Chosen) -> str:
    """Why auto takes an engine whose dump cannot be restored, and what to do; empty if it does not."""
    if not chosen.why_not_restorable:
        return ""
    do = f"; to make it restorable: {chosen.hint}" if chosen.hint else ""
    return f"auto takes memory, which cannot be restored from, because {chosen.why_not_restorable}{do}"


def _what_to_wait_for(engine: Engine | None, pre_dumps: int, every_s: float) -> When | None:
    """What `--when` says; with it, pre-dumps are made as they pay, or so often, or not at all."""
    context = click.get_current_context()
    is_given = {
        name: context.get_parameter_source(name) is not ParameterSource.DEFAULT
        for name in ("pre_dumps", "every")
    }
    when = given_when(
        pre_dump_every_s=every_s if is_given["every"] else None,
        may_pre_dump=not is_given["pre_dumps"] or pre_dumps > 0,
    )
    if when and is_given["pre_dumps"] and pre_dumps:
        raise click.UsageError(
            "--when decides how many pre-dumps to make; with it, --pre-dumps can only be 0", context
        )
    if when and engine is not None and not kind_of(engine).can_pre_dump():
        return When(replace(when.trigger, may_pre_dump=False), when.budget_s)
    return when


def make_links(
    chain: Chain,
    pre_dumps: int,
    every_s: float,
    after: After,
    interruption: Interruption,
    show: Callable[[LinkResult], None],
) -> None:
    """Add pre-dumps and then a dump to a chain, so many seconds apart, showing each.

    Raises:
        Cancelled: asked to end; the links until then are there.
        DirtytopError: a link failed.
    """
    for _ in range(pre_dumps):
        with ProgressLine(_title(chain, LinkKind.PRE_DUMP)) as line:
            result = chain.pre_dump(line.show_link, interruption.has_come)
        show(result)
        if interruption.wait(every_s):
            raise Cancelled("interrupted: no dump was made, and the target runs on")
    with ProgressLine(_title(chain, LinkKind.DUMP)) as line:
        result = chain.dump(after, line.show_link, interruption.has_come)
    show(result)


def emit_link(result: LinkResult) -> None:
    """Print one finished link, for people."""
    lines = [f"{link_name(result)}: {describe_link(result)}; {describe_cost(result)}"]
    lines += (f"  note: {text}" for text in result.notes)
    lines += (f"  not held: {text}" for text in result.not_held)
    # Half a chain, because of a `| head`, would be worse than an unread line.
    with suppress(OutputClosed):
        emit("\n".join(lines))


def emit_object(result: LinkResult) -> None:
    """Print one finished link, for programs."""
    with suppress(OutputClosed):
        emit_json(result.as_json())


def _with_note(result: LinkResult, note: str) -> LinkResult:
    """A dump tells besides why it cannot be restored, if it could have been one that can."""
    return replace(result, notes=(*result.notes, note)) if note and result.kind is LinkKind.DUMP else result


def _title(chain: Chain, kind: LinkKind) -> str:
    return f"{kind.value} {chain.next_path.name}"


def _what_is_there(chain: Chain, hint: str) -> str:
    if not chain.links:
        return hint
    names = ", ".join(printable(str(link.path)) for link in chain.links)
    there = f"complete so far: {names}"
    return f"{hint}; {there}" if hint else there
