"""A kernel counts as good only if it ran to its end and nothing failed."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.lab.inside import EXIT_CODE, FACTS, REPORT
from tests.lab.report import as_markdown, merge, read_report, summary

PASSED = '<testcase classname="tests.tracking.test_x.TestDeep" name="test_a[1]" time="0.1"/>'
FAILED = (
    '<testcase classname="tests.tracking.test_x" name="test_b"><failure message="1 | 2&#10;x"/></testcase>'
)
BROKEN = '<testcase classname="tests.tracking.test_x" name="test_c"><error message="no fixture"/></testcase>'
SKIPPED = '<testcase classname="tests.images.test_y" name="test_d"><skipped message="no crit"/></testcase>'
NOT_COLLECTED = '<testcase classname="" name="tests.images.test_z"><skipped message="no protoc"/></testcase>'


def leave(results: Path, *cases: str, exit_code: int | None = 0) -> Path:
    results.mkdir()
    (results / FACTS).write_text('{"Kernel": "Debian 6.1.1-1", "CRIU": "3.17.1"}')
    (results / REPORT).write_text(
        f'<testsuites><testsuite name="pytest">{"".join(cases)}</testsuite></testsuites>'
    )
    if exit_code is not None:
        (results / EXIT_CODE).write_text(str(exit_code))
    return results


def test_passed_and_skipped_is_good(tmp_path: Path) -> None:
    report = read_report("deb12", leave(tmp_path / "results", PASSED, SKIPPED, NOT_COLLECTED))
    assert report.is_good
    assert report.counts() == "1 passed, 2 skipped"
    assert report.counts("tests/tracking/test_x.py") == "1 passed"
    assert dict(report.skip_reasons()) == {"no crit": 1, "no protoc": 1}
    assert {case.module for case in report.cases} == {
        "tests/tracking/test_x.py",
        "tests/images/test_y.py",
        "tests/images/test_z.py",
    }


@pytest.mark.parametrize("case", [FAILED, BROKEN])
def test_a_failing_test_is_not_good(tmp_path: Path, case: str) -> None:
    report = read_report("deb12", leave(tmp_path / "results", PASSED, case, exit_code=1))
    assert not report.is_good
    assert len(report.failed) == 1


@pytest.mark.parametrize(
    ("cases", "exit_code", "problem"),
    [
        ((PASSED,), None, "it ended before pytest did"),
        ((PASSED,), 2, "pytest ended with 2"),
        ((PASSED,), -9, "pytest ended with -9"),
        ((PASSED,), 1, "pytest failed without a failing test"),
        ((), 5, "no test passed (pytest ended with 5)"),
        ((SKIPPED,), 0, "no test passed (pytest ended with 0)"),
    ],
)
def test_a_run_that_did_not_end_well_is_not_good(
    tmp_path: Path, cases: tuple[str, ...], exit_code: int | None, problem: str
) -> None:
    report = read_report("deb12", leave(tmp_path / "results", *cases, exit_code=exit_code))
    assert not report.is_good
    assert report.problem == problem


def test_a_kernel_that_left_nothing_is_not_good(tmp_path: Path) -> None:
    report = read_report("deb12", tmp_path)
    assert not report.is_good
    assert report.problem == "it ended without a report"


def test_a_report_that_is_cut_off_is_not_good(tmp_path: Path) -> None:
    results = leave(tmp_path / "results", PASSED)
    (results / REPORT).write_text("<testsuites><testsuite><testca")
    assert not read_report("deb12", results).is_good


def test_what_is_known_to_be_wrong_outweighs_a_good_report(tmp_path: Path) -> None:
    report = read_report("deb12", leave(tmp_path / "results", PASSED), "it was not done after 9 s")
    assert not report.is_good
    assert "it was not done after 9 s" in summary(report)


def test_a_kernel_without_criu_is_not_good(tmp_path: Path) -> None:
    results = leave(tmp_path / "results", PASSED)
    (results / FACTS).write_text('{"Kernel": "Debian 6.1.1-1", "CRIU": "none"}')
    report = read_report("deb12", results)
    assert not report.is_good
    assert report.problem == "its criu does not start"


def test_the_merged_report_has_every_kernel_and_an_error_for_a_silent_one(tmp_path: Path) -> None:
    directories = {
        "deb12": leave(tmp_path / "deb12", PASSED, FAILED, exit_code=1),
        "deb13": tmp_path / "deb13",
    }
    reports = [read_report(name, directory) for name, directory in directories.items()]
    merge(reports, directories, tmp_path / "all.xml")
    suites = list(ElementTree.parse(tmp_path / "all.xml").getroot())
    assert [suite.get("name") for suite in suites] == ["deb12", "deb13"]
    assert [len(list(suite.iter("testcase"))) for suite in suites] == [2, 1]
    assert [len(list(suite.iter("error"))) for suite in suites] == [0, 1]


def test_the_table_tells_what_ran_where_and_why_not(tmp_path: Path) -> None:
    reports = [
        read_report("deb12", leave(tmp_path / "deb12", PASSED, FAILED, exit_code=1)),
        read_report("deb13", leave(tmp_path / "deb13", PASSED, SKIPPED)),
        read_report("host", tmp_path / "host"),
    ]
    table = as_markdown(reports).splitlines()
    assert "|  | deb12 | deb13 | host |" in table
    assert "| CRIU | 3.17.1 | 3.17.1 |  |" in table
    assert "| `tests/tracking/test_x.py` | 1 passed, 1 failed | 1 passed | not run |" in table
    assert "| `tests/images/test_y.py` | not run | 1 skipped | not run |" in table
    assert "- `tests/tracking/test_x.py::test_b`: 1 \\| 2" in table
    assert "- 1: no crit" in table
    assert "- it ended without a report" in table
