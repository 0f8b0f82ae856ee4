"""Which paths are taken, and where they lead."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import NotTrusted
from engine.trust.directory import open_directory
from engine.trust.owners import who_else_may_change

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

BOB = 54321


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of ours on a path of ours."""
    with tempfile.TemporaryDirectory(prefix="dirtytop-test-") as name:
        yield Path(name)


def refusal(path: Path, *, trusts: bool = False, makes: bool = False) -> str:
    with pytest.raises(NotTrusted) as refused:
        open_directory(path, trusts=trusts, makes=makes)
    return refused.value.message


def test_what_is_ours_is_opened(place: Path) -> None:
    with open_directory(place) as opened:
        assert opened.is_ours
        assert os.path.samestat(os.fstat(opened.fileno()), place.stat())


def test_a_relative_path_begins_where_we_are(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(place / "a")
    with open_directory(Path("b/../b/./")) as opened:
        assert opened.path == place / "a" / "b"


@needs_root
@pytest.mark.parametrize("which", ["", "a", "a/b"])
def test_another_users_directory_is_refused_wherever_it_is_on_the_way(place: Path, which: str) -> None:
    (place / "a" / "b").mkdir(parents=True)
    os.chown(place / which, BOB, BOB)
    assert f"{place / which} belongs to uid {BOB}" in refusal(place / "a" / "b")


@pytest.mark.parametrize(
    ("mode", "who"), [(0o777, "by everybody"), (0o720, "by the group"), (0o757, "by every")]
)
def test_a_directory_that_others_may_write_to_is_refused(place: Path, mode: int, who: str) -> None:
    (place / "a" / "b").mkdir(parents=True)
    (place / "a").chmod(mode)
    # For its own user a group that has only them in it is as good as none.
    if os.geteuid() == 0 or "everybody" in who:
        assert who in refusal(place / "a" / "b")
        assert who in refusal(place / "a" / "made", makes=True)
        assert not (place / "a" / "made").exists()


def test_one_where_others_can_only_add_names_is_taken(place: Path) -> None:
    (place / "a" / "b").mkdir(parents=True)
    (place / "a").chmod(0o1777)
    for path in (place / "a", place / "a" / "b"):
        with open_directory(path) as opened:
            assert opened.is_ours


@needs_root
def test_in_such_a_one_what_belongs_to_others_is_refused(place: Path) -> None:
    place.chmod(0o1777)
    (place / "bobs").mkdir()
    os.chown(place / "bobs", BOB, BOB)
    os.symlink("/", place / "link")
    os.chown(place / "link", BOB, BOB, follow_symlinks=False)
    assert "belongs to" in refusal(place / "bobs")
    assert "symbolic link" in refusal(place / "link")


@needs_root
def test_an_acl_that_lets_another_write_is_seen(place: Path) -> None:
    anybody = 0xFFFFFFFF
    # include/uapi/linux/posix_acl_xattr.h: owner, one more user, group, mask, others.
    entries = [(1, 7, anybody), (2, 7, BOB), (4, 0, anybody), (0x10, 7, anybody), (0x20, 0, anybody)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(place, "system.posix_acl_access", acl)
    except OSError as error:
        pytest.skip(f"no ACLs here: {error.strerror}")
    assert "may be written to by the group" in refusal(place)


def test_an_absolute_path_is_found_from_a_directory_that_is_gone(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = place / "gone"
    gone.mkdir()
    with monkeypatch.context() as patched:
        patched.chdir(gone)
        gone.rmdir()
        open_directory(place).close()
        with pytest.raises(FileNotFoundError):
            open_directory(Path("relative"))


def test_links_of_ours_are_followed_once(place: Path) -> None:
    (place / "real" / "deep").mkdir(parents=True)
    (place / "relative").symlink_to("real/../real/deep")
    (place / "absolute").symlink_to(place / "relative")
    with open_directory(place / "absolute" / ".." / "deep") as opened:
        assert opened.path == place / "real" / "deep"


def test_links_in_a_circle_lead_nowhere(place: Path) -> None:
    (place / "a").symlink_to("b")
    (place / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        open_directory(place / "a")


@needs_root
def test_who_is_trusted_with_a_directory_still_cannot_lead_us_elsewhere(place: Path) -> None:
    """Not even by a link that root has made: they may have given it this name."""
    (place / "victim").mkdir()
    (place / "bobs").mkdir()
    os.chown(place / "bobs", BOB, BOB)
    os.symlink(place / "victim", place / "bobs" / "chain")
    assert "symbolic link" in refusal(place / "bobs" / "chain", trusts=True)
    assert "symbolic link" in refusal(place / "bobs" / "chain" / "new", trusts=True, makes=True)
    assert os.listdir(place / "victim") == []


@needs_root
def test_trust_takes_it_and_remembers(place: Path) -> None:
    os.chown(place, BOB, BOB)
    with open_directory(place / "chain", trusts=True, makes=True) as opened:
        assert not opened.is_ours
        assert str(BOB) in opened.other
    assert (place / "chain").stat().st_uid == 0


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277, 0o777])
def test_whatever_the_umask_what_is_made_is_private(place: Path, umask: int) -> None:
    if os.geteuid() != 0 and umask & 0o700:
        pytest.skip("who cannot search a directory cannot make one in it")
    before = os.umask(umask)
    try:
        open_directory(place / "a" / "b" / "c", makes=True).close()
    finally:
        os.umask(before)
    made = [place / "a", place / "a" / "b", place / "a" / "b" / "c"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700}


@needs_root
def test_a_directory_that_others_put_in_place_of_a_new_one_keeps_its_mode(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(place, BOB, BOB)
    (place / "roots").mkdir(mode=0o755)
    honest = os.mkdir

    def exchanged(name: str, mode: int, *, dir_fd: int) -> None:
        honest(name, mode, dir_fd=dir_fd)
        os.rmdir(name, dir_fd=dir_fd)
        os.rename("roots", name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", exchanged)
    open_directory(place / "chain", trusts=True, makes=True).close()
    assert stat.S_IMODE((place / "chain").stat().st_mode) == 0o755


def test_a_file_on_the_way_is_no_directory(place: Path) -> None:
    (place / "file").touch()
    for path in (place / "file", place / "file" / "below"):
        with pytest.raises(NotADirectoryError):
            open_directory(path)


def test_the_last_there_is_can_be_asked_for(place: Path) -> None:
    with open_directory(place / "not" / "there", stops=True) as opened:
        assert opened.path == place


def test_nothing_is_left_open(place: Path) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    for path in (place, place / "none", place / "made"):
        try:
            open_directory(path, makes=path.name == "made").close()
        except FileNotFoundError:
            assert path.name == "none"
    held = open_directory(place)
    assert descriptors() == before + 1
    del held
    assert descriptors() == before


def test_a_group_of_the_users_own_is_nobody_else(tmp_path: Path) -> None:
    """As of users whose umask is 002."""
    asking = """
import os, pwd, grp, sys
from types import SimpleNamespace
import engine.trust.owners as owners
grp.getgrgid = lambda gid: SimpleNamespace(gr_name="bob", gr_mem=["mallory"] if gid == 6 else [])
pwd.getpwuid = lambda uid: SimpleNamespace(pw_name="bob", pw_gid=5)
os.geteuid = lambda: 1000
status = lambda gid: SimpleNamespace(st_uid=1000, st_gid=gid, st_mode=0o40775)
print([bool(owners.who_else_may_change(status(gid))) for gid in (5, 6, 7)])
os.geteuid = lambda: 0
print(bool(owners.who_else_may_change(SimpleNamespace(st_uid=0, st_gid=5, st_mode=0o40775))))
"""
    done = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[False, True, True]", "True"]


def test_only_directories_are_protected_by_the_sticky_bit(place: Path) -> None:
    file = place / "file"
    file.touch()
    file.chmod(0o1777)
    assert "by everybody" in who_else_may_change(file.stat())
