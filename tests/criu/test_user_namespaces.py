"""A tree in a user namespace: CRIU reads its images with the rights of that namespace's root."""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.criu.chain import CriuChain
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.mapped_root import let_mapped_root_read
from engine.checkpoint.criu.options import CriuOptions
from engine.checkpoint.criu.restore import restore
from engine.checkpoint.criu.told import dumper_of
from engine.checkpoint.link import After
from engine.checkpoint.spliced.chain import SplicedChain
from engine.errors import LinkFailed
from engine.images.chain import read_chain
from engine.kernel.process import child_processes
from engine.preflight.judge import examine
from engine.tracking.session import Session
from tests.targets import contained

USER = 100_000
_DETACH = 2
_BIND = 4096
_libc = ctypes.CDLL(None, use_errno=True)


class Container:
    """A shell that counts lines, as pid 1 of a container."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.root.mkdir(mode=0o755)
        self._questions = _fifo(directory / "questions")
        self._answers = _fifo(directory / "answers")
        (directory / "errors").touch()
        (directory / "errors").chmod(0o666)
        self._errors = directory / "errors"
        with open(self._errors, "wb") as errors:
            self._starter = subprocess.Popen(
                [sys.executable, "-I", "-S", contained.__file__, str(self.root), str(USER), str(directory)],
                stdin=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        try:
            self.answer = self.ask()
        except AssertionError:
            self._starter.kill()
            pytest.skip(f"there is no container here: {self._errors.read_text()[-200:]}")
        self.pid = child_processes({self._starter.pid})[-1].pid

    def ask(self) -> int:
        """How many lines it has seen."""
        os.write(self._questions, b"\n")
        ready, _, _ = select.select([self._answers], [], [], 10)
        assert ready, "it does not answer"
        return int(os.read(self._answers, 100))

    def bury(self) -> None:
        """Wait until it has ended."""
        self._starter.wait()

    def close(self) -> None:
        """End it, if it lives."""
        self._starter.kill()
        self._starter.wait()
        os.close(self._questions)
        os.close(self._answers)


def _fifo(path: Path) -> int:
    os.mkfifo(path)
    path.chmod(0o666)
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory on the root's file system that everybody may enter."""
    path = Path(tempfile.mkdtemp(dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    _libc.umount2(os.fsencode(path / "root"), _DETACH)
    shutil.rmtree(path)


@pytest.fixture
def container(criu: Criu, place: Path) -> Iterator[Container]:
    if criu.version < (4,) and shutil.which("ip6tables-restore") is None:
        pytest.skip("criu before 4.0 locks a namespace's network by iptables, which are not installed")
    started = Container(place)
    yield started
    started.close()


@pytest.fixture
def config(container: Container, place: Path) -> Path:
    """What CRIU has to be told to make its mounts again."""
    assert _libc.mount(b"/", os.fsencode(container.root), None, _BIND, None) == 0
    path = place / "criu.conf"
    path.write_text(f"root {container.root}\n")
    return path


def dumped(criu: Criu, container: Container, chain: Path, *, pre_dumps: int) -> Path:
    """A chain that ends with a dump, which ends the container."""
    with Session(container.pid) as session:
        if pre_dumps:
            spliced = SplicedChain(session, chain, criu=criu)
            for _ in range(pre_dumps):
                spliced.pre_dump()
            made = spliced.dump(After.KILL)
        else:
            made = CriuChain(session, chain, criu=criu).dump(After.KILL)
    container.bury()
    assert not any("may not read it" in note for note in made.notes)
    return made.path


def restored(path: Path, config: Path, container: Container) -> int:
    """The first answer after a restore; what was restored is ended."""
    pid = restore(path, config_file=config).pid
    try:
        return container.ask()
    finally:
        os.kill(pid, 9)


def test_pre_flight_tells_who_will_be_able_to_read_the_images(
    criu: Criu, container: Container, config: Path
) -> None:
    findings = examine(container.pid, dumper_of(criu, CriuOptions(config_file=config)))
    (told,) = [finding for finding in findings if finding.key == "mapped-root"]
    assert f"group {USER}" in told.text
    assert not [finding.text for finding in findings if finding.severity.prevents]


@pytest.mark.parametrize("pre_dumps", [0, 2], ids=["criu alone", "spliced"])
def test_the_root_of_its_user_namespace_may_read_what_it_is_restored_from_and_change_nothing(
    criu: Criu, container: Container, config: Path, place: Path, pre_dumps: int
) -> None:
    path = dumped(criu, container, place / "chain", pre_dumps=pre_dumps)
    for link in read_chain(path).links:
        assert _rights(link.path) == (os.geteuid(), USER, 0o750)
        for name in link.names - {"parent"}:
            owner, group, mode = _rights(link.path / name)
            assert owner == os.geteuid()
            assert (group, mode) == (USER, 0o640) or (mode == 0o600 and link.path != path)
    assert restored(path, config, container) == container.answer + 1


def test_images_that_lost_these_rights_on_the_way_get_them_again(
    criu: Criu, container: Container, config: Path, place: Path
) -> None:
    path = dumped(criu, container, place / "chain", pre_dumps=1)
    for directory in (place / "chain", *(link.path for link in read_chain(path).links)):
        os.chown(directory, -1, os.getegid())
        directory.chmod(0o700)
        for image in directory.glob("*.img"):
            os.chown(image, -1, os.getegid())
            image.chmod(0o600)
    assert restored(path, config, container) == container.answer + 1


def test_the_rights_of_another_group_are_not_taken_from_it(
    criu: Criu, container: Container, place: Path
) -> None:
    path = dumped(criu, container, place / "chain", pre_dumps=1)
    os.chown(place / "chain", -1, 4321)
    (place / "chain").chmod(0o770)
    with pytest.raises(LinkFailed, match="group 4321 has rights there"):
        let_mapped_root_read(read_chain(path))
    assert _rights(place / "chain")[1:] == (4321, 0o770)


def _rights(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)
