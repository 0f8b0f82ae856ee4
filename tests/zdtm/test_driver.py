"""The driver of CRIU's own tests, on a tree of ours that behaves as a built one does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from engine.checkpoint.criu.features import examine_criu
from engine.errors import DirtytopError
from engine.kernel.process import read_stat
from tests.targets.scripted import ScriptedTarget
from tests.zdtm import __main__ as driver
from tests.zdtm.modes import Mode
from tests.zdtm.outside import differences, kinds, view_tree
from tests.zdtm.results import NOT_APPLICABLE, RIGHT, RIGHT_AGAIN, WRONG, Case
from tests.zdtm.standin import Call
from tests.zdtm.tree import TREE_VARIABLE, NoTree, ZdtmTest, find_tree
from tests.zdtm.trial import Outcome, Verdict

_PROGRAM: Final = Path(__file__).parents[1] / "targets/zdtm_program.c"
_FAKE: Final = Path(__file__).with_name("fake") / "zdtm.py"
_NAMES: Final = ("failing", "refused", "steady", "stubborn", "unlucky")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="CRIU's tests need root")


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no gcc here")
    path = tmp_path_factory.mktemp("compiled") / "program"
    subprocess.run([compiler, "-O1", "-o", path, _PROGRAM], check=True)
    return path


@pytest.fixture
def tree(tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree without a CRIU that does anything."""
    path = tmp_path / "tree"
    programs = path / "test/zdtm"
    for directory in (path / "criu", programs / "static", programs / "transition"):
        directory.mkdir(parents=True)
    shutil.copy(_FAKE, path / "test/zdtm.py")
    path.joinpath("test/pycriu.py").touch()
    for name in _NAMES:
        shutil.copy(program, programs / "static" / name)
    shutil.copy(program, programs / "transition/rewriting")
    path.joinpath("criu/criu").symlink_to("/bin/true")
    monkeypatch.setenv(TREE_VARIABLE, str(path))
    return path


@pytest.fixture
def tree_with_criu(tree: Path) -> Path:
    """A tree with a CRIU that dumps and restores here."""
    try:
        criu = examine_criu()
        criu.require_dump()
    except DirtytopError as error:
        pytest.skip(error.message)
    tree.joinpath("criu/criu").unlink()
    tree.joinpath("criu/criu").symlink_to(criu.program)
    return tree


def _judged(results: Path, mode: Mode) -> dict[str, tuple[str, str]]:
    """Of each test: what it was judged as, and why."""
    values: list[dict[str, Any]] = json.loads(results.joinpath("results.json").read_text())
    of_mode = {value["test"]: value["modes"].get(mode.value) for value in values}
    return {name: (value["judged"], value["why"]) for name, value in of_mode.items() if value}


class TestWithATree:
    def test_it_lists_the_programs_with_their_flavours(self, tree: Path) -> None:
        tests = {test.name: test for test in find_tree().list_tests()}
        assert tests["static/steady"].flavours == ("h", "ns", "uns")
        assert tests["static/only_namespaces"] == ZdtmTest(
            "static/only_namespaces", ("ns", "uns"), frozenset({"suid"})
        )
        assert tests["static/refused"].must_not_be_dumped

    def test_a_tree_that_is_not_built_is_refused(self, tree: Path) -> None:
        tree.joinpath("criu/criu").unlink()
        with pytest.raises(NoTree, match="is no built tree"):
            find_tree()

    def test_without_a_tree_nothing_is_run(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv(TREE_VARIABLE, raising=False)
        assert driver.main([]) == driver.CANNOT_RUN
        assert TREE_VARIABLE in capsys.readouterr().err


class TestHarm:
    def test_a_program_that_is_as_it_was_is_right(self, tree: Path, tmp_path: Path) -> None:
        assert driver.main(["--modes", "harm", "--only", "steady", "--results", str(tmp_path)]) == 0
        assert _judged(tmp_path, Mode.HARM) == {"static/steady": (RIGHT, "")}

    def test_one_that_fails_untouched_too_says_nothing(self, tree: Path, tmp_path: Path) -> None:
        arguments = ["--modes", "harm", "--only", "failing|rewriting", "--results", str(tmp_path)]
        assert driver.main(arguments) == 0
        assert not _judged(tmp_path, Mode.HARM)
        judged = _judged(tmp_path, Mode.UNTOUCHED)
        assert judged["static/failing"] == (NOT_APPLICABLE, "result check: FAIL: it always does")
        assert judged["transition/rewriting"] == (NOT_APPLICABLE, "restore stage is required")

    def test_one_that_no_criu_may_dump_is_judged_too(self, tree: Path, tmp_path: Path) -> None:
        assert driver.main(["--modes", "harm", "--only", "refused", "--results", str(tmp_path)]) == 0
        assert _judged(tmp_path, Mode.HARM) == {"static/refused": (RIGHT, "")}

    def test_what_takes_too_long_is_ended_with_all_that_it_started(self, tree: Path, tmp_path: Path) -> None:
        arguments = ["--modes", "harm", "--only", "stubborn", "--limit", "6", "--results", str(tmp_path)]
        assert driver.main(arguments) == 0
        assert _judged(tmp_path, Mode.UNTOUCHED)["static/stubborn"] == (NOT_APPLICABLE, "not done after 6 s")
        assert "stubborn" not in [process.name() for process in psutil.process_iter()]


class TestCheckpoints:
    def test_programs_that_come_back_from_our_images_are_right(
        self, tree_with_criu: Path, tmp_path: Path
    ) -> None:
        only = ["--modes", "spliced,criu", "--only", "steady|rewriting"]
        assert driver.main([*only, "--results", str(tmp_path)]) == 0
        expected = {"static/steady": (RIGHT, ""), "transition/rewriting": (RIGHT, "")}
        assert _judged(tmp_path, Mode.SPLICED) == expected
        assert _judged(tmp_path, Mode.CRIU) == expected

    def test_one_that_runs_on_after_our_dump_is_right(self, tree_with_criu: Path, tmp_path: Path) -> None:
        assert driver.main(["--modes", "left", "--only", "steady", "--results", str(tmp_path)]) == 0
        assert _judged(tmp_path, Mode.LEFT) == {"static/steady": (RIGHT, "")}

    def test_one_that_only_criu_brings_back_is_wrong_and_tried_again_when_asked(
        self, tree_with_criu: Path, tmp_path: Path
    ) -> None:
        arguments = ["--modes", "spliced", "--results", str(tmp_path)]
        assert driver.main([*arguments, "--only", "steady|unlucky"]) == 1
        wrong = (WRONG, "result check: FAIL: more than one link was asked for")
        assert _judged(tmp_path, Mode.SPLICED) == {"static/steady": (RIGHT, ""), "static/unlucky": wrong}
        log = tmp_path / "logs/spliced/static.unlucky.h/zdtm.log"
        assert "FAIL at result check" in log.read_text()
        log.unlink()
        assert driver.main([*arguments, "--again"]) == 1
        assert _judged(tmp_path, Mode.SPLICED) == {"static/steady": (RIGHT, ""), "static/unlucky": wrong}
        assert log.exists()


def test_options_of_criu_are_told_dirtytop_by_its_own_or_in_a_file() -> None:
    words = (
        *("--no-default-config", "--log-file", "dump.log", "--images-dir", "dump/1", "--verbosity=4"),
        *("--tree", "7", "--pidfile", "/t.pid", "--tcp-established", "--manage-cgroups=full"),
        *("--external", "mnt[/dev]:DEV", "--link-remap", "--timeout", "10", "--ghost-limit", "1M"),
        *("--cgroup-yard", "../../yard"),
    )
    ours, config = Call("dump", words).options()
    assert ours == ["--tcp-established", "--freeze-timeout", "10"]
    assert config == [
        *("manage-cgroups full", "external mnt[/dev]:DEV", "link-remap", "ghost-limit 1M"),
        f"cgroup-yard {Path.cwd() / 'yard'}",
    ]


class TestOutside:
    def test_nothing_changes_where_nothing_is_done(self, target: ScriptedTarget) -> None:
        while read_stat(target.pid).state != "S":
            time.sleep(0.01)  # it has answered, and not gone back to waiting yet
        before = view_tree(target.pid)
        assert before
        assert differences(before, view_tree(target.pid)) == []

    def test_a_mapping_that_changed_is_named(self, target: ScriptedTarget) -> None:
        before = view_tree(target.pid)
        target.map(3)
        found = differences(before, view_tree(target.pid))
        assert f"{target.pid}: maps" in " ".join(found)
        assert kinds(found) >= {"maps", "flags of mappings"}


class TestJudging:
    passed = Outcome(Mode.PLAIN, Verdict.PASSED)
    failed = Outcome(Mode.SPLICED, Verdict.FAILED, "maps compare")

    def test_what_fails_once_is_right_only_when_run_once_more(self) -> None:
        case = Case("static/any", "h")
        case.add(self.passed)
        case.add(self.failed)
        assert case.judge(Mode.SPLICED) == (WRONG, "maps compare")
        case.add(replace(self.failed, verdict=Verdict.PASSED, reason=""))
        assert case.judge(Mode.SPLICED) == (RIGHT_AGAIN, "maps compare")

    def test_what_fails_in_the_control_too_now_and_then_says_nothing(self) -> None:
        case = Case("static/any", "h")
        for outcome in (self.passed, self.failed, self.failed, replace(self.passed, verdict=Verdict.FAILED)):
            case.add(outcome)
        assert (case.judge(Mode.SPLICED) or ("",))[0] == NOT_APPLICABLE

    @pytest.mark.parametrize(
        ("by_itself", "expected"),
        [("", WRONG), ("9: maps was a, is b", WRONG), ("9: limits was a, is b", RIGHT)],
    )
    def test_a_program_that_is_not_as_it_was_is_wrong_unless_it_changes_that_itself(
        self, by_itself: str, expected: str
    ) -> None:
        case = Case("static/any", "h")
        case.add(Outcome(Mode.UNTOUCHED, Verdict.PASSED, changed=(by_itself,) if by_itself else ()))
        case.add(Outcome(Mode.HARM, Verdict.PASSED, changed=("7: limits was 1, is 2",)))
        assert (case.judge(Mode.HARM) or ("",))[0] == expected
