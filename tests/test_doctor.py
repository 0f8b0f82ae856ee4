"""What doctor says, against the machine it says it of."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine import doctor
from engine.checkpoint.criu import features
from engine.doctor import Report, Status, examine
from engine.tracking.probe import Support, TrackerSupport, probe
from engine.tracking.sample import TrackerKind

NOT_HERE = TrackerSupport(False, "because of \x1b[31m")
WORKS = TrackerSupport(True)


def with_support(
    monkeypatch: pytest.MonkeyPatch, soft_dirty: TrackerSupport, write_protect: TrackerSupport
) -> Report:
    support = Support(soft_dirty, write_protect, pagemap_scan=write_protect)
    monkeypatch.setattr(doctor, "probe", lambda: support)
    return examine()


def fake_criu(monkeypatch: pytest.MonkeyPatch, directory: Path, script: str) -> doctor.Finding:
    program = directory / "criu"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("DIRTYTOP_CRIU", str(program))
    return examine().finding("CRIU")


def test_the_trackers_are_as_the_probe_found_them() -> None:
    report, support = examine(), probe()
    for kind in TrackerKind:
        works = report.finding(kind.value).status is Status.WORKS
        assert works == support.of(kind).works
    assert report.tracker is support.best()


def test_what_is_missing_comes_with_its_reason_and_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    report = with_support(monkeypatch, NOT_HERE, NOT_HERE)
    assert report.tracker is None
    for name in ("soft-dirty", "write-protect", "PAGEMAP_SCAN"):
        finding = report.finding(name)
        assert (finding.status, finding.text) == (Status.MISSING, "because of ␛[31m")
        assert finding.hint


def test_one_tracker_makes_up_for_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    report = with_support(monkeypatch, WORKS, NOT_HERE)
    assert report.tracker is TrackerKind.SOFT_DIRTY
    assert "soft-dirty sees the same" in report.finding("write-protect").hint


def test_the_json_form_is_stable() -> None:
    form = json.loads(json.dumps(examine().as_json()))
    assert form["schema"] == 1
    assert form["page_bytes"] == os.sysconf("SC_PAGESIZE")
    assert form["kernel"] == os.uname().release
    assert form["tracker"] in {kind.value for kind in TrackerKind} | {None}
    names = [finding["name"] for finding in form["findings"]]
    assert names == [
        "kernel",
        "soft-dirty",
        "write-protect",
        "PAGEMAP_SCAN",
        "privileges",
        "ptrace scope",
        "userfaultfd",
        "CRIU",
        "page size",
        "huge pages",
        "pid namespace",
    ]
    assert all(finding.keys() == {"name", "status", "text", "hint"} for finding in form["findings"])


def test_a_program_that_only_looks_like_criu_is_found_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    finding = fake_criu(monkeypatch, tmp_path, 'echo "Version: 4.2"')
    assert finding.status is Status.MISSING
    assert f"{tmp_path}/criu" in finding.text


def test_a_criu_that_fails_is_quoted_and_printable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    finding = fake_criu(monkeypatch, tmp_path, "printf 'broken \\033[31m' >&2; exit 1")
    assert finding.status is Status.MISSING
    assert finding.text.endswith("broken ␛[31m")


def test_a_criu_that_hangs_does_not_hang_doctor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(features, "_TIMEOUT_S", 0.1)
    finding = fake_criu(monkeypatch, tmp_path, "exec sleep 100")
    assert finding.status is Status.MISSING
    assert "does not answer" in finding.text


def test_no_criu_is_no_harm_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DIRTYTOP_CRIU", str(tmp_path / "none"))
    finding = examine().finding("CRIU")
    assert finding.status is Status.MISSING
    assert "only needed for" in finding.hint


@pytest.mark.parametrize(("tracked", "advice"), [(WORKS, "--engine spliced"), (NOT_HERE, "--pre-dumps 0")])
def test_where_criu_makes_no_pre_dumps_the_engine_that_makes_them_is_named_if_it_works(
    monkeypatch: pytest.MonkeyPatch, tracked: TrackerSupport, advice: str
) -> None:
    criu = features.Criu(Path("/usr/sbin/criu"), (4, 1, 1), why_not="", has_memory_tracking=False)
    monkeypatch.setattr(doctor, "examine_criu", lambda: criu)
    finding = with_support(monkeypatch, NOT_HERE, tracked).finding("CRIU")
    assert finding.status is Status.LIMITED
    assert advice in finding.hint


@pytest.mark.parametrize(
    ("scope", "privileged", "status"),
    [
        (None, False, Status.WORKS),
        (0, False, Status.WORKS),
        (1, False, Status.LIMITED),
        (1, True, Status.WORKS),
        (2, False, Status.LIMITED),
        (3, True, Status.MISSING),
    ],
)
def test_yama_limits_whom_one_may_look_into(
    monkeypatch: pytest.MonkeyPatch, scope: int | None, privileged: bool, status: Status
) -> None:
    monkeypatch.setattr(doctor, "read_setting", lambda path: scope)
    monkeypatch.setattr(doctor, "may_trace_others", lambda: privileged)
    finding = examine().finding("ptrace scope")
    assert finding.status is status
    assert bool(finding.hint) == (status is not Status.WORKS)


def test_privileges_are_named_by_capability() -> None:
    capabilities = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if "CapEff" in line
    )
    held = int(capabilities.split()[1], 16)
    finding = examine().finding("privileges")
    assert ("CAP_SYS_PTRACE" in finding.text) == bool(held >> 19 & 1)
    assert (finding.status is Status.WORKS) == bool(held >> 19 & held >> 2 & 1)
