"""A directory on the way to its name: what fails at any step leaves nothing, what others do does no harm."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from engine.checkpoint.criu.directory import LOG, CriuDirectory
from engine.errors import LinkFailed, NotTrusted
from engine.images.layout import LinkKind
from engine.images.partial import PartialDirectory
from engine.images.stats import DumpStats
from engine.images.writer import LinkWriter
from engine.pageset import PAGE_SIZE, PageSet
from engine.trust.directory import open_directory

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give directories away")

_STEPS: Final = {
    os: (
        "mkdir",
        "open",
        "fstat",
        "lstat",
        "listdir",
        "fchmod",
        "symlink",
        "rename",
        "write",
        "fsync",
        "close",
    ),
    fcntl: ("flock",),
}
"""What a full or broken disk can make fail. Removing is left out: what cannot be removed stays."""


class FailingStep:
    """Lets one call fail, of all that are made; a close has been one to a plain file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, code: int) -> None:
        self.calls = 0
        self._number = number
        self._code = code
        for module, names in _STEPS.items():
            for name in names:
                monkeypatch.setattr(module, name, self._wrapped(name, getattr(module, name)))

    def _wrapped(self, name: str, honest: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if name == "close" and not _is_plain_file(arguments[0]):
                return honest(*arguments, **options)
            self.calls += 1
            if self.calls != self._number:
                return honest(*arguments, **options)
            if name == "close":
                honest(*arguments)
            raise OSError(self._code, os.strerror(self._code))

        return call


_fstat: Final = os.fstat


def _is_plain_file(fd: int) -> bool:
    return stat.S_ISREG(_fstat(fd).st_mode)


def write_link(directory: Path) -> None:
    """Of all that a link can have."""
    with LinkWriter(directory / "2", LinkKind.PRE_DUMP, directory / "1") as link:
        pages = link.open_pages(42, 1)
        pages.write(bytes(PAGE_SIZE), PageSet.from_pages([1]))
        pages.finish(PageSet.from_pages([7]))
        link.write("extra.img", b"x")
        link.commit(DumpStats(pages_written=1, pages_skipped_parent=1), dump_uptime_us=7)


def have_criu_write(directory: Path) -> None:
    images = CriuDirectory(directory / "2")
    try:
        for name in ("pstree.img", "pages-1.img"):
            (images.partial_path / name).write_bytes(b"x")
        (images.work.path / LOG).write_bytes(b"it went well")
        images.complete(b"stats")
        images.finish()
    finally:
        images.remove()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Holds a link to build on."""
    with LinkWriter(tmp_path / "1", LinkKind.PRE_DUMP) as link:
        link.open_pages(42, 1).finish()
        link.commit(DumpStats(), dump_uptime_us=7)
    return tmp_path


def error_of(write: Callable[[Path], None], directory: Path) -> LinkFailed | None:
    try:
        write(directory)
    except LinkFailed as error:
        return error
    return None


def fail_at_each_step(write: Callable[[Path], None], directory: Path, code: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        whole = FailingStep(patched, 0, code)
        write(directory)
    assert sorted(os.listdir(directory)) == ["1", "2"]
    for path in (directory / "2").iterdir():
        path.unlink()
    (directory / "2").rmdir()
    descriptors = len(os.listdir("/proc/self/fd"))
    failed = 0
    for number in range(1, whole.calls + 1):
        with pytest.MonkeyPatch.context() as patched:
            FailingStep(patched, number, code)
            error = error_of(write, directory)
        failed += error is not None
        assert error is None or error.hint, error
        left = sorted(os.listdir(directory))
        if left == ["1", "2"]:  # it was one of the steps that a link can do without
            assert (directory / "2" / "stats-dump").exists()
            for path in (directory / "2").iterdir():
                path.unlink()
            (directory / "2").rmdir()
        else:
            assert left == ["1"], number
        assert len(os.listdir("/proc/self/fd")) == descriptors, number
    assert failed > whole.calls // 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_link_of_ours_that_fails_at_any_step_leaves_nothing_and_a_hint(directory: Path, code: int) -> None:
    fail_at_each_step(write_link, directory, code)


@needs_root
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_so_does_one_of_criu(
    directory: Path, code: int, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [str(tmp_path_factory.mktemp("place") / "dirtytop") for _ in range(2)]
    monkeypatch.setattr("engine.trust.private._places", lambda: places)
    fail_at_each_step(have_criu_write, directory, code)


# -- what a kill leaves


@pytest.mark.parametrize("mode", [0o700, 0o500, 0o000])
def test_an_empty_partial_of_a_writer_killed_at_once_is_replaced(tmp_path: Path, mode: int) -> None:
    if os.geteuid() != 0 and mode != 0o700:
        pytest.skip("who has made a directory that they cannot open has to remove it themselves")
    (tmp_path / "1.partial").mkdir()
    (tmp_path / "1.partial").chmod(mode)
    images = PartialDirectory(tmp_path / "1")
    images.write("extra.img", b"x")
    images.publish()
    images.remove()
    assert os.listdir(tmp_path) == ["1"]


def test_an_empty_directory_that_others_may_use_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "1.partial").mkdir(mode=0o755)
    with pytest.raises(LinkFailed, match="in the way"):
        PartialDirectory(tmp_path / "1")
    assert os.listdir(tmp_path) == ["1.partial"]


# -- where others can rename


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    made = tmp_path / "theirs"
    made.mkdir()
    os.chown(made, 54321, 54321)
    return made


@needs_root
def test_what_is_left_there_is_not_removed_for_it_may_be_anything(theirs: Path) -> None:
    (theirs / "1.partial").mkdir(mode=0o700)
    (theirs / "1.partial" / "disk.img").write_text("precious")
    with open_directory(theirs, trusts=True) as above:
        with pytest.raises(LinkFailed, match="what it was is not known"):
            PartialDirectory(theirs / "1", above)
        assert (theirs / "1.partial" / "disk.img").read_text() == "precious"
        (theirs / "2.partial").mkdir(mode=0o700)
        PartialDirectory(theirs / "2", above).remove()
    assert os.listdir(theirs) == ["1.partial"]


@needs_root
def test_another_directory_of_ours_in_its_place_is_not_written_into(
    theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (theirs / "precious").mkdir(mode=0o700)
    (theirs / "precious" / "pages-1.img").write_text("precious")
    honest = os.mkdir

    def exchanged(name: str, mode: int, *, dir_fd: int) -> None:
        honest(name, mode, dir_fd=dir_fd)
        os.rmdir(theirs / name)
        os.rename(theirs / "precious", theirs / name)

    with open_directory(theirs, trusts=True) as above, monkeypatch.context() as patched:
        patched.setattr(os, "mkdir", exchanged)
        with pytest.raises(LinkFailed, match="somebody has put another directory in its place"):
            PartialDirectory(theirs / "1", above)
    assert os.listdir(theirs / "1.partial") == ["pages-1.img"]


@needs_root
def test_another_directory_that_gets_its_name_is_not_taken_for_the_link(theirs: Path) -> None:
    with open_directory(theirs, trusts=True) as above:
        images = PartialDirectory(theirs / "1", above)
        images.write("pages-1.img", b"secret")
        os.rename(theirs / "1.partial", theirs / "stolen")
        (theirs / "1.partial").mkdir()
        (theirs / "1.partial" / "pages-1.img").write_text("forged")
        with pytest.raises(LinkFailed, match="somebody has put another directory in its place"):
            images.publish()
        images.remove()
    assert os.listdir(theirs / "stolen") == []
    assert (theirs / "1" / "pages-1.img").read_text() == "forged"


@needs_root
def test_files_go_on_being_written_where_they_were_begun(theirs: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    with open_directory(theirs, trusts=True) as above:
        images = PartialDirectory(theirs / "1", above)
        os.rename(theirs / "1.partial", theirs / "stolen")
        os.symlink(tmp_path / "victim", theirs / "1.partial")
        images.write("pages-1.img", b"secret")
        with images.reading() as place:
            assert (place / "pages-1.img").read_bytes() == b"secret"
        assert os.listdir(theirs / "stolen") == ["pages-1.img"]
        images.remove()
    assert os.listdir(tmp_path / "victim") == []
    assert os.listdir(theirs / "stolen") == []
    assert (theirs / "1.partial").is_symlink()


def test_without_trust_a_link_is_made_only_where_nobody_else_can_write(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(NotTrusted, match="by everybody"):
        PartialDirectory(tmp_path / "open" / "1")
    assert os.listdir(tmp_path / "open") == []
