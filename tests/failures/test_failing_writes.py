"""Whichever write fails, of ours or of CRIU's: it is told, the target is unharmed, and no page is lost."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from engine.checkpoint.link import After, Engine
from engine.images.chain import read_chain, verify
from engine.images.layout import LinkKind
from engine.kernel.maps import read_maps
from engine.kernel.process import read_stat
from tests.checkpoint.comparing import differences
from tests.cli.shell import is_untouched
from tests.criu.outliving import Outliving, wait_for_state
from tests.failures.failing_writes import SHORT, FailingWrites, Outcome

_ENGINES: Final = (Engine.MEMORY, Engine.SPLICED, Engine.CRIU)
_CODES: Final = (errno.EIO, errno.ENOSPC, errno.EDQUOT, SHORT)
_SAMPLE: Final = 2
_DOCUMENTED: Final = range(1, 6)
"""Exit codes of what fails, as docs/cli.md has them."""


def code_name(code: int) -> str:
    return "short" if code == SHORT else errno.errorcode[code]


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Engine:
    wanted: Engine = request.param
    if wanted is not Engine.MEMORY:
        request.getfixturevalue("criu")
    return wanted


class Bench:
    """A target, and chains of it in which one write fails."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self.engine = engine
        self.target = Outliving.judging(directory, pages=300)
        self._below = directory / "chains"
        self._below.mkdir()
        self._writes = FailingWrites(directory, self._below)
        self._descriptors = self._list_descriptors()
        self._chain = self._below / "chain"

    def _list_descriptors(self) -> list[str]:
        files = f"/proc/{self.target.pid}/fd"
        return [os.readlink(f"{files}/{name}") for name in sorted(os.listdir(files))]

    def checkpoint(self, number: int, code: int, *options: object) -> Outcome:
        """`dirtytop checkpoint`, in which one write fails."""
        return self._writes.run(
            number, code, "tui", "checkpoint", self.target.pid, self._chain, "--engine", self.engine.value,
            "--every", 0.01, "--no-preflight", *options,
        )  # fmt: skip

    @property
    def pre_dumps(self) -> int:
        """As many as the engine can make everywhere."""
        return 0 if self.engine is Engine.CRIU else 1

    def count(self, code: int) -> int:
        """How many calls there are that could fail."""
        whole = self.checkpoint(0, code, "--pre-dumps", self.pre_dumps)
        assert whole.code == 0, whole.complaints
        shutil.rmtree(self._chain)
        return whole.calls

    # -- what a command and the next one make of it

    def fail_a_command(self, number: int, code: int) -> list[str]:
        """What is wrong after the failing command, and after the next one."""
        before = self._mappings_of_criu()
        outcome = self.checkpoint(number, code, "--pre-dumps", self.pre_dumps, "--after", After.RUN.value)
        wrong = self._wrong_words(outcome, code) + self._harm()
        if self._mappings_of_criu() != before and "criu has left" not in outcome.complaints:
            wrong.append("criu has left mappings in the target, and nothing is said of them")
        left = self._links()
        wrong += self._wrong_links(left)
        is_ended = bool(left) and read_chain(left[-1]).links[-1].kind is LinkKind.DUMP
        if is_ended != (outcome.code == 0):
            wrong.append(
                f"it ended with {outcome.code}, and the dump is {'there' if is_ended else 'missing'}"
            )
        if is_ended:
            shutil.rmtree(self._chain)
        goes_on = ("--continue",) if left and not is_ended else ()
        after = self.checkpoint(0, code, "--pre-dumps", 0, "--after", After.STOP.value, *goes_on)
        if after.code:
            wrong.append(f"the next one fails: {after.complaints}")
        else:
            wrong += self._wrong_end()
        shutil.rmtree(self._chain, ignore_errors=True)
        return [f"write {number}, {code_name(code)} ({outcome.failed}): {text}" for text in wrong]

    def _wrong_words(self, outcome: Outcome, code: int) -> list[str]:
        lines = [line for line in outcome.complaints.splitlines() if not line.startswith("note: ")]
        if outcome.code == 0:
            return [f"it says {lines}"] if lines else []
        if outcome.code not in _DOCUMENTED:
            return [f"it ends with {outcome.code}: {outcome.complaints}"]
        if code == SHORT and not outcome.is_of_criu:
            return [f"a short write is an error: {lines}"]
        if [line.partition(": ")[0] for line in lines] != ["dirtytop", "hint"]:
            return [f"it says {lines}"]
        return []

    # -- what the same chain makes of it

    def fail_a_step(self, number: int, code: int) -> list[str]:
        """What is wrong with a chain one of whose steps had to be taken twice."""
        outcome = self._writes.run(
            number, code, "tests.failures.persevering", self.target.pid, self._chain, self.engine.value
        )
        wrong = [outcome.complaints] if outcome.code else self._wrong_end()
        shutil.rmtree(self._chain, ignore_errors=True)
        return [f"write {number}, {code_name(code)} ({outcome.failed}): {text}" for text in wrong]

    # -- what is looked at

    def _mappings_of_criu(self) -> int:
        return sum(b"CRIU" in vma.raw_name for vma in read_maps(self.target.pid).vmas)

    def _wrong_end(self) -> list[str]:
        """What is wrong with a chain whose dump has stopped the target; it runs on after that."""
        wait_for_state(self.target.pid, "T")
        wrong = self._wrong_links(self._links())
        images = read_chain(self._chain)
        for pid in images.links[-1].pids:
            wrong += differences(images, pid)
        os.kill(self.target.pid, signal.SIGCONT)
        return wrong + self._harm()

    def _links(self) -> list[Path]:
        names = os.listdir(self._chain) if self._chain.exists() else []
        return [
            self._chain / name
            for name in sorted(names, key=lambda name: (len(name), name))
            if name.isdecimal()
        ]

    def _wrong_links(self, links: list[Path]) -> list[str]:
        names = os.listdir(self._chain) if self._chain.exists() else []
        known = {link.name for link in links}
        wrong = [f"{name} is left" for name in names if name not in known and not name.endswith(".log")]
        for link in links:
            wrong += [problem.text for problem in verify(read_chain(link))]
        return wrong

    def _harm(self) -> list[str]:
        """What is not as it was with the target."""
        wrong = []
        if read_stat(self.target.pid).state in "Tt":
            wrong.append("the target is stopped")
            os.kill(self.target.pid, signal.SIGCONT)
        if not is_untouched(self.target.pid):
            wrong.append("the target is traced, or its memory watched")
        if self._list_descriptors() != self._descriptors:
            wrong.append(f"the target has open {self._list_descriptors()}")
        if self.target.judge()[1]:
            wrong.append("the target's memory is wrong")
        return wrong


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(engine, tmp_path)
    with made.target:
        yield made


_each_engine = pytest.mark.parametrize("engine", _ENGINES, indirect=True, ids=lambda engine: engine.value)
_each_code = pytest.mark.parametrize("code", _CODES, ids=code_name)


@_each_engine
def test_a_write_that_fails_is_told_and_loses_no_page(bench: Bench) -> None:
    """A few of them; `make soak` takes all."""
    seed = 8
    rng = random.Random(seed)
    code = rng.choice(_CODES)
    calls = bench.count(code)
    wrong = []
    for _ in range(_SAMPLE):
        wrong += bench.fail_a_command(rng.randint(1, calls), code)
        wrong += bench.fail_a_step(rng.randint(1, calls), code)
    assert wrong == [], f"seed {seed}"


@pytest.mark.soak
@_each_engine
@_each_code
def test_every_write_that_fails_is_told_and_loses_no_page(bench: Bench, code: int) -> None:
    wrong = []
    for number in range(1, bench.count(code) + 1):
        wrong += bench.fail_a_command(number, code)
    assert wrong == []


@pytest.mark.soak
@_each_engine
@_each_code
def test_every_step_whose_write_fails_can_be_taken_again(bench: Bench, code: int) -> None:
    """The number of calls differs a little from that of the command: what is not reached fails nothing."""
    wrong = []
    for number in range(1, 2 * bench.count(code) + 1):
        wrong += bench.fail_a_step(number, code)
    assert wrong == []
