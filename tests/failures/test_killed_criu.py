"""SIGKILL of CRIU at any moment of a dump: what is ours is right, whatever CRIU leaves of the target.

What is promised: the dump fails with an error that says so; no link is there but whole ones; no page is lost,
so that the next dump of the same chain holds the target as it is; nothing of ours is in the target, which
is not traced or stopped by us. What is not: CRIU has its code and its registers in the target for a
while, and nobody can take them out again but itself. Killed then, it leaves mappings, or a target that
does not run on, with us or without us. Whoever answers after that has no page wrong.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from engine.checkpoint.chain import Chain
from engine.checkpoint.criu.directory import LOG
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.engines import open_chain
from engine.checkpoint.link import After, Engine
from engine.errors import DirtytopError, TargetGone
from engine.images.chain import read_chain, verify
from engine.kernel.maps import read_maps
from engine.kernel.process import child_processes, read_stat
from engine.tracking.session import Session
from tests.checkpoint.comparing import differences
from tests.cli.shell import is_untouched
from tests.criu.outliving import Outliving, wait_for_state

_KILLS: Final = 3
_SOAK_KILLS: Final = 500
"""Of each engine: a thousand."""
_DUMP_TAKES_S: Final = 0.12
_ANSWERS_WITHIN_S: Final = 10.0

UNHARMED: Final = "unharmed"


class Killer:
    """Kills the first CRIU that we start, at a moment of its work."""

    def __init__(self, after_s: float) -> None:
        self.has_killed = False
        self._after_s = after_s
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not self._is_over.is_set():
            # Not what it forks itself: those it waits for. It has begun when it logs.
            ours = [stat.pid for stat in child_processes({os.getpid()}) if stat.parent_pid == os.getpid()]
            for pid in ours:
                if Path(f"/proc/{pid}/cwd/{LOG}").exists():
                    with suppress(ProcessLookupError):  # it was quicker
                        if not self._is_over.wait(self._after_s):
                            os.kill(pid, signal.SIGKILL)
                            self.has_killed = True
                    return
            time.sleep(0.001)

    def end(self) -> None:
        """There is nothing more to kill."""
        self._is_over.set()
        self._thread.join()


def state_of(target: Outliving) -> str:
    """What CRIU has made of a target."""
    try:
        if read_stat(target.pid).is_dead:
            return "taken along"
        has_mappings = any(b"CRIU" in vma.raw_name for vma in read_maps(target.pid).vmas)
    except TargetGone:
        return "taken along"
    if read_stat(target.pid).state in "Tt":
        return "stopped"
    judged = target.judge_within(_ANSWERS_WITHIN_S)
    if judged is None:
        return "taken along" if read_stat(target.pid).is_dead else "does not answer"
    assert judged[1] == 0, "its memory is wrong"
    return "mappings left" if has_mappings else UNHARMED


def links_of(chain: Chain) -> list[str]:
    return sorted(name for name in os.listdir(chain.directory) if not name.endswith(".log"))


def kill_once(engine: Engine, directory: Path, after_s: float) -> str:
    """Kill one CRIU in its dump: what has become of the target; empty if it was done already."""
    directory.mkdir()
    with Outliving.judging(directory, pages=500) as target, Session(target.pid) as session:
        chain = open_chain(engine, session, directory / "chain")
        if engine is Engine.SPLICED:
            chain.pre_dump()
        before = links_of(chain)
        killer = Killer(after_s)
        try:
            chain.dump(After.RUN)
        except DirtytopError as error:
            failed = error
        else:
            return ""
        finally:
            killer.end()
        assert killer.has_killed, failed
        assert "SIGKILL" in failed.message, failed.message
        assert links_of(chain) == before
        assert not before or verify(read_chain(chain.directory)) == ()
        state = state_of(target)
        if state == UNHARMED:
            last = chain.dump(After.STOP)
            wait_for_state(target.pid, "T")
            images = read_chain(last.path)
            assert verify(images) == ()
            assert differences(images, target.pid) == []
            os.kill(target.pid, signal.SIGCONT)
            assert target.judge()[1] == 0
        chain.close()
        session.close()
        if state != "taken along":
            assert is_untouched(target.pid)
    return state


def kill_many(engine: Engine, directory: Path, times: int, seed: int) -> None:
    rng = random.Random(seed)
    states: Counter[str] = Counter()
    for number in range(times):
        states[kill_once(engine, directory / str(number), rng.random() * _DUMP_TAKES_S)] += 1
    print(dict(states))
    assert "stopped" not in states
    assert times < 100 or states[UNHARMED] > times // 10


_each_engine = pytest.mark.parametrize(
    "engine", [Engine.SPLICED, Engine.CRIU], ids=lambda engine: engine.value
)


@_each_engine
def test_a_criu_that_is_killed_loses_no_page_of_ours(engine: Engine, criu: Criu, tmp_path: Path) -> None:
    kill_many(engine, tmp_path, _KILLS, seed=3)


@pytest.mark.soak
@_each_engine
def test_a_thousand_that_are_killed_lose_none(engine: Engine, criu: Criu, tmp_path: Path) -> None:
    kill_many(engine, tmp_path, _SOAK_KILLS, seed=4)
