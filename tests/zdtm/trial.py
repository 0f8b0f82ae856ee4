"""One test program, run once in one mode."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

import psutil

from engine.printable import printable
from tests.lab.places import PROJECT
from tests.zdtm.modes import Mode
from tests.zdtm.standin import standin_script
from tests.zdtm.tree import Tree, ZdtmTest

PRE_DUMPS: Final = 2

_AS_ROOT: Final = Path(__file__).with_name("as_root.mk")
_CAP_SYS_RESOURCE: Final = 24
_IN_ITS_OWN_PIDS: Final = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Whatever a test leaves running ends with the process that is its init."""

_TO_END_S: Final = 10.0

_SKIPPED: Final = re.compile(r"^Skipping \S+ \((?P<why>.*)\)$", re.MULTILINE)
_FAILED_AT: Final = re.compile(r"^#+ Test \S+ FAIL at (?P<step>.*?) #+$", re.MULTILINE)
_TRACEBACK: Final = re.compile(r"^Traceback .*\n(?:[ \t].*\n)+(?P<error>\S.*)$", re.MULTILINE)
_ITS_WORDS: Final = re.compile(r"^.*\b(?:FAIL|ERR): .*$", re.MULTILINE)
_OUR_WORDS: Final = re.compile(r"^b['\"]Error (?P<said>[^(].*)['\"]$", re.MULTILINE)
_CRIUS_WORDS: Final = re.compile(r"^b['\"].*?(?P<said>Error \(.*)['\"]$", re.MULTILINE)
_HARMLESS: Final = re.compile("RLIMIT_NOFILE")
_KEPT: Final = ("*.log", "*.said", "*.conf", "*.links", "*.cropt", "criu.stderr")


class Verdict(Enum):
    """What came of it."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run."""

    mode: Mode
    verdict: Verdict
    reason: str = ""
    """Why it failed or was skipped, in a line."""
    seconds: float = 0.0
    changed: tuple[str, ...] = ()
    """Unless it is restored: what of the tree was not as before, a line each."""


def run_trial(tree: Tree, test: ZdtmTest, flavour: str, mode: Mode, limit_s: float, logs: Path) -> Outcome:
    """Have zdtm run one test; what zdtm said, and everybody's logs, are left in `logs` unless it passed."""
    with tempfile.TemporaryDirectory(prefix="dirtytop-zdtm-") as scratch:
        report = Path(scratch, "report.json")
        images = tree.tests / "dump" / test.zdtm_name
        kept = logs / mode.name.lower() / f"{test.name.replace('/', '.')}.{flavour}"
        for earlier in (images, kept):
            shutil.rmtree(earlier, ignore_errors=True)
        began_s = time.monotonic()
        said, code = _run(tree, test, flavour, mode, limit_s, Path(scratch), report)
        seconds = round(time.monotonic() - began_s, 2)
        verdict, reason = _judge(said, code, limit_s)
        found: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
        # In the other modes zdtm itself goes by whether the dump was made.
        commands = found.get("commands", []) if mode is Mode.HARM else []
        failed = [command for command in commands if command["code"]]
        if verdict is Verdict.PASSED and failed:
            verdict = Verdict.FAILED
            reason = f"dirtytop {failed[0]['command']} ended with {failed[0]['code']}: {failed[0]['said']}"
        outcome = Outcome(
            mode, verdict, printable(reason), seconds, tuple(map(printable, found.get("differences", ())))
        )
        if verdict is not Verdict.PASSED or outcome.changed:
            _keep(kept, said, found, images)
        shutil.rmtree(images, ignore_errors=True)
        return outcome


def _run(
    tree: Tree, test: ZdtmTest, flavour: str, mode: Mode, limit_s: float, scratch: Path, report: Path
) -> tuple[str, int | None]:
    """What zdtm printed, and its exit code; None if it took too long."""
    criu = tree.criu
    if mode is not Mode.PLAIN:
        criu = scratch / "criu"
        words = ["--mode", mode.value, "--criu", str(tree.criu), "--report", str(report)]
        if mode is Mode.SPLICED:
            words += ["--pre-dumps", str(PRE_DUMPS)]
        if test.must_not_be_dumped and not mode.is_restored:
            words += ["--refuse"]
        criu.write_text(standin_script(words, PROJECT))
        criu.chmod(0o755)
    command = [*_IN_ITS_OWN_PIDS, "./zdtm.py", "run", "-t", test.zdtm_name, "-f", flavour]
    command += ["--criu-bin", str(criu), "--ignore-taint", "--keep-img", "always"]
    if mode is Mode.SPLICED:
        command += ["--pre", str(PRE_DUMPS)]
    if not mode.is_restored:
        command += ["--norst"]
    output = scratch / "output"
    with output.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=tree.tests,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=os.environ | _environment(flavour),
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    return output.read_text(errors="replace"), code


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a run, and be sure that it has ended."""
    started = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.kill()
    process.wait()
    psutil.wait_procs(started, timeout=_TO_END_S)


def _environment(flavour: str) -> dict[str, str]:
    # In a user namespace of its own a test has all capabilities that CRIU needs of it.
    return {} if flavour == "uns" or _may_see_limits() else {"MAKEFILES": str(_AS_ROOT)}


def _may_see_limits() -> bool:
    """Whether CRIU can dump what runs as another user."""
    status = Path("/proc/self/status").read_text()
    effective = re.search(r"^CapEff:\s*(\S+)", status, re.MULTILINE)
    return bool(effective and int(effective[1], 16) >> _CAP_SYS_RESOURCE & 1)


def _judge(said: str, code: int | None, limit_s: float) -> tuple[Verdict, str]:
    if code is None:
        return Verdict.FAILED, f"not done after {limit_s:.0f} s"
    if skipped := _SKIPPED.search(said):
        return Verdict.SKIPPED, skipped["why"]
    if code == 0 and re.search(r"^=+ Test \S+ PASS =+$", said, re.MULTILINE):
        return Verdict.PASSED, ""
    return Verdict.FAILED, ": ".join(_reasons(said)) or f"zdtm ended with {code}"


def _reasons(said: str) -> Iterator[str]:
    """The step that failed, and the first words of whoever said why."""
    if failed := _FAILED_AT.search(said):
        yield failed["step"]
    if error := _TRACEBACK.search(said):
        yield error["error"]
    ours = [found["said"] for found in _OUR_WORDS.finditer(said)]
    its = [found[0] for found in _ITS_WORDS.finditer(said)]
    crius = [found["said"] for found in _CRIUS_WORDS.finditer(said) if not _HARMLESS.search(found["said"])]
    # Of a traceback the last line tells most.
    ours = [words for words in ours if words.startswith("dirtytop: ")] or ours[-1:]
    yield from [words.strip() for words in (*ours, *its, *crius)][:1]


def _keep(directory: Path, said: str, found: dict[str, Any], images: Path) -> None:
    directory.mkdir(parents=True)
    directory.joinpath("zdtm.log").write_text(said, errors="replace")
    if found:
        directory.joinpath("report.json").write_text(json.dumps(found, indent=1) + "\n")
    for pattern in _KEPT:
        for path in images.rglob(pattern):
            if path.is_file() and not path.is_symlink():
                name = str(path.relative_to(images)).replace("/", ".")
                shutil.copyfile(path, directory / name)
