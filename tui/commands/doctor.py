"""`dirtytop doctor`: what works here, and what a dump of a process would meet."""

from __future__ import annotations

from typing import Final

import click

from engine.checkpoint.dumpable import RESTORABLE, Preflight, look_over
from engine.checkpoint.link import Engine
from engine.doctor import Report, Status, examine
from engine.errors import NotSupported
from tui.commands.arguments import PID, example, json_option
from tui.commands.criu_options import criu_options, given_options
from tui.commands.findings import finding_lines
from tui.commands.output import emit, emit_json

_MARKS: Final = {Status.WORKS: "works", Status.LIMITED: "limited", Status.MISSING: "missing"}


@click.command(
    short_help="Say what works on this machine, or whether a process can be dumped.",
    epilog=example("what would keep criu from dumping a process", "dirtytop doctor 1234 --tcp-established"),
)
@click.argument("pid", type=PID, required=False)
@criu_options
@json_option
def doctor(pid: int | None, as_json: bool) -> int:
    """Say what works on this machine, why the rest does not, and what to do about it.

    Ends with 5 if no tracker works here.

    With PID: look at that process and its descendants, and say what will make a dump fail, what will not be
    saved, and what to do about it. Nothing is touched. CRIU's options are those that the dump would be made
    with. Ends with 5 if they do not allow a dump that can be restored.
    """
    if pid is not None:
        return _look_over(pid, as_json)
    if given_options():
        raise click.UsageError("CRIU's options go with a PID only", click.get_current_context())
    report = examine()
    if as_json:
        emit_json(report.as_json())
    else:
        _print(report)
    return 0 if report.tracker else NotSupported.exit_code


def _print(report: Report) -> None:
    width = max(len(finding.name) for finding in report.findings)
    for finding in report.findings:
        emit(f"{_MARKS[finding.status]:<7}  {finding.name:<{width}}  {finding.text}")
        if finding.hint:
            emit(f"{'':7}  {'':{width}}  hint: {finding.hint}")
    if report.tracker:
        emit(f"Ready: writes are seen by {report.tracker.value}.")
    else:
        emit("No tracker works here: nothing can be watched.")


def _look_over(pid: int, as_json: bool) -> int:
    found = look_over(pid, given_options())
    if as_json:
        emit_json(found.as_json())
    else:
        for line in _lines(found):
            emit(line)
    return 0 if found.is_restorable else NotSupported.exit_code


def _lines(found: Preflight) -> list[str]:
    able = [engine.value for engine in RESTORABLE if found.can(engine)]
    memory = found.can(Engine.MEMORY)
    if able:
        verdict = f"yes, by {' and '.join(able)}"
    elif memory:
        verdict = "only by memory: memory and registers, which cannot be restored"
    else:
        verdict = "no"
    lines = [f"can be dumped: {verdict}"]
    if found.criu_error is not None:
        lines.append(f"criu: {found.criu_error.message}")
        if found.criu_error.hint:
            lines.append(f"  hint: {found.criu_error.hint}")
    elif found.missing_options and not able and _only_options(found):
        lines[0] = f"can be dumped: only with {' '.join(f'--{option}' for option in found.missing_options)}"
    lines += finding_lines(found.findings)
    if not found.findings:
        lines.append("nothing stands in the way")
    return lines


def _only_options(found: Preflight) -> bool:
    """Whether the options that are missing are all that speaks against it."""
    return all(finding.option in found.missing_options for finding in found.against(Engine.SPLICED))
