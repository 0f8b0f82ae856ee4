"""`dirtytop doctor`: what works here."""

from __future__ import annotations

from typing import Final

import click

from engine.doctor import Report, Status, examine
from engine.errors import NotSupported
from tui.commands.arguments import example, json_option
from tui.commands.output import emit, emit_json

_MARKS: Final = {Status.WORKS: "works", Status.LIMITED: "limited", Status.MISSING: "missing"}


@click.command(
    short_help="Say what works on this machine, and what to do about the rest.",
    epilog=example("what the kernel has, for a program", "dirtytop doctor --json"),
)
@json_option
def doctor(as_json: bool) -> int:
    """Say what works on this machine, why the rest does not, and what to do about it.

    Ends with 5 if no tracker works here.
    """
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
