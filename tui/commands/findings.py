"""The findings of pre-flight, as lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.preflight.finding import Finding, Severity

HEADINGS = {
    Severity.BLOCKS: "makes a dump fail",
    Severity.UNRESTORABLE: "makes a dump that cannot be restored",
    Severity.OPTION: "needs an option",
    Severity.LOST: "is not saved",
    Severity.NOTE: "worth knowing",
}


def finding_lines(findings: Iterable[Finding], *, with_hints: bool = True) -> Iterator[str]:
    """The findings under a heading for each severity that there is, indented."""
    severity = None
    for finding in findings:
        if finding.severity is not severity:
            severity = finding.severity
            yield f"{HEADINGS[severity]}:"
        yield f"  {finding.text}"
        if finding.hint and with_hints:
            yield f"    hint: {finding.hint}"
