"""Somebody who owns the directory, or one above it, exchanges whatever appears there while links are made."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from engine.checkpoint.chain import Chain
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.engines import open_chain
from engine.checkpoint.link import After, Engine
from engine.errors import DirtytopError, NotTrusted
from engine.images.chain import ImageChain, flatten, read_chain
from engine.images.files import writing
from engine.tracking.session import Session
from engine.trust.directory import open_directory
from tests.criu.conftest import criu, judge
from tests.criu.outliving import Outliving
from tests.trust import attacker
from tests.trust.watched import Watched

__all__ = ["criu", "judge"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do what others cannot undo")

NOBODY = 65534
_SHORT_S = 2.0
_LONG_S = 60.0
_for_a_while = pytest.mark.parametrize(
    "seconds", [_SHORT_S, pytest.param(_LONG_S, marks=pytest.mark.soak)], ids=["short", "long"]
)
_ENGINES = [Engine.MEMORY, Engine.SPLICED, Engine.CRIU]


@dataclass(frozen=True)
class Scene:
    """Where it happens."""

    theirs: Path
    """A directory of the attacker's."""
    victim: Path
    """A directory of root's, which links could lead to."""

    def new_directory(self, number: int, *, in_theirs: bool) -> Path:
        """For a chain: one that the attacker has made, or one that is to be made in theirs."""
        if not in_theirs:
            return self.theirs / f"{attacker.HELD}dir-{number}" / "chain"
        made = self.theirs / f"{attacker.HELD}new"  # which the attacker leaves alone
        made.mkdir()
        made.chmod(0o777)
        os.chown(made, NOBODY, NOBODY)
        return made.rename(self.theirs / f"{attacker.HELD}dir-{number}")


@pytest.fixture
def scene() -> Iterator[Scene]:
    # Not where pytest keeps what is temporary: there only root can go.
    above = Path(tempfile.mkdtemp(prefix="dirtytop-test-", dir="/var/tmp"))
    above.chmod(0o755)
    made = Scene(above / "theirs", above / "victim")
    made.theirs.mkdir()
    os.chown(made.theirs, NOBODY, NOBODY)
    made.victim.mkdir(mode=0o700)
    (made.victim / "precious").write_text("precious")
    (made.victim / "1").mkdir()
    yield made
    shutil.rmtree(above)


class Attack:
    """A running attacker."""

    def __init__(self, scene: Scene) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", attacker.__file__, scene.theirs, scene.victim, str(NOBODY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def end(self) -> tuple[int, list[str]]:
        """How often something was exchanged, and what could be read of what was taken away."""
        answer, _ = self._process.communicate(timeout=60)
        told = json.loads(answer)
        return told["exchanged"], told["read"]


def make_links(engine: Engine, session: Session, directory: Path) -> Chain:
    chain = open_chain(engine, session, directory, trusts_directory=True)
    if engine is not Engine.CRIU:
        chain.pre_dump()
        chain.pre_dump()
    chain.dump(After.RUN)
    return chain


def attack(scene: Scene, target: Outliving, make: Callable[[Path], object], seconds: float) -> None:
    """Make chains for so long, in directories of the attacker's, and see what comes of it."""
    attempts, made = 0, 0
    with Watched(scene.victim) as watched:
        under_way = Attack(scene)
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s or attempts < 2 or not made:
            attempts += 1
            with suppress(DirtytopError):
                make(scene.new_directory(attempts, in_theirs=bool(attempts % 2)))
                made += 1
        exchanged, read = under_way.end()
        assert watched.events() == []
    assert exchanged > 0
    assert read == []
    assert not (scene.theirs / f"{attacker.HELD}{attacker.MARK}").exists()
    assert target.judge()[1] == 0
    assert not [link for link in links_of_root(scene.theirs) if stat.S_IMODE(link.lstat().st_mode) & 0o077]


def links_of_root(directory: Path) -> list[Path]:
    """What root has made and is no symbolic link."""
    return [path for path in directory.rglob("*") if not path.is_symlink() and path.lstat().st_uid == 0]


@pytest.mark.parametrize("engine", _ENGINES, ids=lambda engine: engine.value)
def test_nothing_of_others_is_touched_and_nothing_of_theirs_is_run(
    engine: Engine, scene: Scene, judge: Outliving, request: pytest.FixtureRequest
) -> None:
    if engine is not Engine.MEMORY:
        request.getfixturevalue("criu")
    with Session(judge.pid) as session:
        attack(scene, judge, partial(make_links, engine, session), _SHORT_S)


@pytest.fixture
def finished(judge: Outliving, tmp_path: Path) -> ImageChain:
    """A chain that nobody else can change."""
    with Session(judge.pid) as session:
        make_links(Engine.MEMORY, session, tmp_path / "finished")
    return read_chain(tmp_path / "finished")


def flatten_beside(chain: ImageChain, directory: Path) -> None:
    """As `dirtytop flatten` does, into a directory of somebody else's."""
    with writing(directory, "open this directory"):
        above = open_directory(directory, trusts=True)
    with above:
        flatten(chain, directory / "flat", above=above)


@_for_a_while
def test_so_it_is_with_one_link_that_is_made_of_many(
    scene: Scene, judge: Outliving, finished: ImageChain, seconds: float
) -> None:
    attack(scene, judge, partial(flatten_beside, finished), seconds)


@pytest.mark.soak
@pytest.mark.parametrize("engine", _ENGINES, ids=lambda engine: engine.value)
def test_so_it_is_for_a_long_time(
    engine: Engine, scene: Scene, judge: Outliving, request: pytest.FixtureRequest
) -> None:
    if engine is not Engine.MEMORY:
        request.getfixturevalue("criu")
    with Session(judge.pid) as session:
        attack(scene, judge, partial(make_links, engine, session), _LONG_S)


@pytest.mark.parametrize("engine", _ENGINES, ids=lambda engine: engine.value)
@pytest.mark.parametrize("in_theirs", [True, False], ids=["their own", "in theirs"])
def test_without_trust_nothing_is_made_at_all(
    engine: Engine, in_theirs: bool, scene: Scene, judge: Outliving, request: pytest.FixtureRequest
) -> None:
    if engine is not Engine.MEMORY:
        request.getfixturevalue("criu")
    directory = scene.new_directory(1, in_theirs=in_theirs)
    before = sorted(scene.theirs.rglob("*"))
    with Session(judge.pid) as session, pytest.raises(NotTrusted, match="belongs to nobody") as refused:
        open_chain(engine, session, directory)
    assert "--trust-directory" in refused.value.hint
    assert sorted(scene.theirs.rglob("*")) == before


def test_criu_does_not_obey_the_home_of_another_user(
    criu: Criu, scene: Scene, judge: Outliving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = scene.theirs / ".criu" / "default.conf"
    options.parent.mkdir()
    program = scene.theirs / "program"
    program.write_text(f"#!/bin/sh\ntouch {scene.theirs}/executed\n")
    program.chmod(0o755)
    options.write_text(f"action-script {program}\n")
    for path in (options.parent, options, program):
        os.chown(path, NOBODY, NOBODY)
    monkeypatch.setenv("HOME", str(scene.theirs))
    with Session(judge.pid) as session:
        assert open_chain(Engine.CRIU, session, tmp_path / "chain").dump().restorable
    assert not (scene.theirs / "executed").exists()
    assert judge.judge()[1] == 0


def test_criu_is_not_asked_to_follow_a_parent_there(
    criu: Criu, scene: Scene, judge: Outliving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Criu, "require_memory_tracking", lambda _: None)
    with Session(judge.pid) as session:
        chain = open_chain(Engine.CRIU, session, scene.theirs, trusts_directory=True)
        with pytest.raises(NotTrusted, match="no pre-dumps"):
            chain.pre_dump()
    assert os.listdir(scene.theirs) == []
