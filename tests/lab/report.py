"""Reads what the kernels reported, adds it up, and puts it into words."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.lab.inside import EXIT_CODE, FACTS, NO_CRIU, REPORT

PASSED: Final = "passed"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"


@dataclass(frozen=True, slots=True)
class Case:
    """One test on one kernel."""

    module: str
    """As in "tests/tracking/test_trackers.py"."""
    name: str
    """As in "TestDeep::test_a[1]"."""
    outcome: str
    reason: str = ""
    """Why it was skipped, or the first line of what failed."""

    @property
    def node(self) -> str:
        """What pytest calls it."""
        return f"{self.module}::{self.name}"


@dataclass(frozen=True, slots=True)
class KernelReport:
    """One kernel's run."""

    name: str
    problem: str = ""
    """Why there is no report to trust; it then counts as failed, whatever the cases say."""
    facts: dict[str, str] = field(default_factory=dict)
    cases: tuple[Case, ...] = ()

    @property
    def failed(self) -> tuple[Case, ...]:
        """The tests that failed."""
        return tuple(case for case in self.cases if case.outcome == FAILED)

    @property
    def is_good(self) -> bool:
        """Whether it ran to its end, something passed, and nothing failed."""
        return not self.problem and not self.failed and any(case.outcome == PASSED for case in self.cases)

    def counts(self, module: str | None = None) -> str:
        """How many passed, failed and were skipped, as in "14 passed, 2 skipped"."""
        found = Counter(case.outcome for case in self.cases if module in (None, case.module))
        return ", ".join(
            f"{found[outcome]} {outcome}" for outcome in (PASSED, FAILED, SKIPPED) if found[outcome]
        )

    def skip_reasons(self) -> Counter[str]:
        """Why tests were skipped, and how many for each reason."""
        return Counter(case.reason for case in self.cases if case.outcome == SKIPPED)


def read_report(name: str, results: Path, problem: str = "") -> KernelReport:
    """What a run left in its directory; what is missing there is a problem, never a pass.

    Args:
        name: of the kernel.
        results: the directory.
        problem: what is known to have gone wrong before.
    """
    facts: dict[str, str] = {}
    if (results / FACTS).exists():
        facts = json.loads((results / FACTS).read_text())
    if not (results / REPORT).exists():
        return KernelReport(name, problem or "it ended without a report", facts)
    try:
        suites = ElementTree.parse(results / REPORT).getroot()
    except ElementTree.ParseError:
        return KernelReport(name, problem or "its report is cut off", facts)
    cases = tuple(_case(element) for element in suites.iter("testcase"))
    if facts.get("CRIU") == NO_CRIU:
        problem = problem or "its criu does not start"
    return KernelReport(name, problem or _problem_of_exit(results, cases), facts, cases)


def _problem_of_exit(results: Path, cases: Sequence[Case]) -> str:
    if not (results / EXIT_CODE).exists():
        return "it ended before pytest did"
    code = int((results / EXIT_CODE).read_text())
    if not any(case.outcome == PASSED for case in cases):
        return f"no test passed (pytest ended with {code})"
    if code not in (0, 1):
        return f"pytest ended with {code}"
    if code == 1 and not any(case.outcome == FAILED for case in cases):
        return "pytest failed without a failing test"
    return ""


def _case(element: ElementTree.Element) -> Case:
    name = element.get("name", "")
    module, classes = _place(element.get("classname") or name)
    name = "::".join([*classes, name])
    for child in element:
        if child.tag in ("failure", "error"):
            return Case(module, name, FAILED, _first_line(child.get("message", "")))
        if child.tag == "skipped":
            return Case(module, name, SKIPPED, _first_line(child.get("message", "")))
    return Case(module, name, PASSED)


def _place(dotted: str) -> tuple[str, Sequence[str]]:
    """The file and the classes of a dotted name, as in "tests.images.test_x.TestY"."""
    parts = dotted.split(".")
    last = next((at for at, part in enumerate(parts) if part.startswith("test_")), len(parts) - 1)
    return "/".join(parts[: last + 1]) + ".py", parts[last + 1 :]


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def merge(reports: Iterable[KernelReport], directory_of: dict[str, Path], into: Path) -> None:
    """One JUnit file of all: a suite for each kernel, with an error in it where one did not report."""
    merged = ElementTree.Element("testsuites", name="lab")
    for report in reports:
        suites = []
        if report.cases:
            suites = list(ElementTree.parse(directory_of[report.name] / REPORT).getroot().iter("testsuite"))
        for suite in suites:
            suite.set("name", report.name)
            merged.append(suite)
        if report.problem:
            suite = ElementTree.SubElement(merged, "testsuite", name=report.name, tests="1", errors="1")
            case = ElementTree.SubElement(suite, "testcase", classname="tests.lab", name=report.name)
            ElementTree.SubElement(case, "error", message=report.problem)
    ElementTree.ElementTree(merged).write(into, encoding="utf-8", xml_declaration=True)


def summary(report: KernelReport) -> str:
    """A kernel's run in a few lines, for the terminal."""
    about = ", ".join(f"{name} {report.facts[name]}" for name in ("Kernel", "CRIU") if name in report.facts)
    lines = [f"{report.name}: {'good' if report.is_good else 'FAILED'} ({about or 'nothing is known of it'})"]
    if report.problem:
        lines.append(f"  {report.problem}")
    if report.cases:
        lines.append(f"  {report.counts()}")
    for module in sorted({case.module for case in report.cases}):
        lines.append(f"    {module}: {report.counts(module)}")
    lines += [f"  {case.outcome}: {case.node}: {case.reason}" for case in report.failed]
    lines += [f"  skipped {count}: {reason}" for reason, count in report.skip_reasons().most_common()]
    return "\n".join(lines)


def as_markdown(reports: Sequence[KernelReport]) -> str:
    """Which tests ran on which kernel: `docs/tested-on.md`."""
    lines = [
        "# Tested on",
        "",
        "Made by `make lab` from what the kernels reported ([the lab](lab.md)); not to be edited by hand.",
        "",
        _row(["", *(report.name for report in reports)]),
        _row(["---"] * (len(reports) + 1)),
    ]
    for fact in dict.fromkeys(fact for report in reports for fact in report.facts):
        lines.append(_row([fact, *(report.facts.get(fact, "") for report in reports)]))
    for module in sorted({case.module for report in reports for case in report.cases}):
        lines.append(_row([f"`{module}`", *(report.counts(module) or "not run" for report in reports)]))
    lines.append(_row(["**all**", *(f"**{report.counts() or 'no report'}**" for report in reports)]))
    for report in reports:
        if report.problem or report.failed:
            lines += ["", f"## Failed on {report.name}", ""]
            lines += [f"- {_plain(report.problem)}"] if report.problem else []
            lines += [f"- `{case.node}`: {_plain(case.reason)}" for case in report.failed]
    for report in reports:
        if reasons := report.skip_reasons():
            lines += ["", f"## Skipped on {report.name}", ""]
            lines += [f"- {count}: {_plain(reason)}" for reason, count in sorted(reasons.items())]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return text.replace("|", "\\|").replace("<", "&lt;")
