"""A chain under damage, and what can be done to its bytes, files and directories."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.images.reference import PAGE

NUMBERS = (
    0, 1, 2, 3, 4, 5, 7, 8, 42, 43, 127, 128, 255, 256, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE, 2**16, 2**21,
    2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**44 * PAGE - PAGE, 2**47, 2**56, 2**56 - PAGE, 2**62, 2**63 - 1,
    2**63, 2**64 - PAGE, 2**64 - 1,
)  # fmt: skip
NAMES = (
    "pages-1\n.img", "pagemap-\x1b[2J.img", "pagemap-18446744073709551616.img", "pagemap-00.img",
    "pages-9999999999.img", "pagemap-99.img", "pages-8.img", "core-42.img", "1", "99", "4", "parent",
    "x\udcff.img", "stats-dump", "pagemap-shmem-1.img", "mm-99.img", "3.partial",
)  # fmt: skip
PARENTS = (".", "..", "../1", "../2", "../3", "parent", "/", "/dev", "../..", "nowhere", "../1/stats-dump")
SPARSE = (1, 2**16, 2**20, 2**31, 2**40, 2**62)


class Damage:
    """A chain under damage, which can be undone."""

    def __init__(self, chain: Path, whole: dict[Path, bytes | str], random: Random) -> None:
        self.chain = chain
        self.random = random
        self.done: list[str] = []
        """What was done, for whoever looks for the cause."""
        self._whole = whole
        self._touched: set[Path] = set()

    @property
    def files(self) -> list[Path]:
        """What there was before, but for symbolic links, where there still are directories."""
        return [
            path
            for path, content in self._whole.items()
            if isinstance(content, bytes) and path.parent.is_dir()
        ]

    @property
    def links(self) -> list[Path]:
        return sorted({path.parent for path in self._whole if path.parent.is_dir()})

    def a_file(self, prefix: str = "") -> Path | None:
        found = [path for path in self.files if path.name.startswith(prefix)]
        return self.random.choice(found) if found else None

    def content(self, path: Path) -> bytes:
        """What is in a file by now; nothing if that is no file any more."""
        return path.read_bytes() if path.is_file() and path.stat().st_size < 2**20 else b""

    def put(self, path: Path, content: bytes) -> None:
        self.clear(path)
        path.write_bytes(content)

    def clear(self, path: Path) -> None:
        """Have nothing of this name."""
        self._touched.add(path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()

    def undo(self) -> None:
        for path in self._touched:
            self.clear(path)
        for path, content in self._whole.items():
            if path in self._touched or path.parent in self._touched:
                path.parent.mkdir(exist_ok=True)
                if isinstance(content, bytes):
                    path.write_bytes(content)
                else:
                    path.symlink_to(content)


# -- bytes


def flip_bits(damage: Damage) -> None:
    path = damage.a_file()
    if path is None:
        return
    content = bytearray(damage.content(path))
    for _ in range(damage.random.choice((1, 1, 1, 2, 8))):
        if content:
            at = damage.random.randrange(len(content))
            content[at] ^= 1 << damage.random.randrange(8)
    damage.put(path, bytes(content))


def cut_or_add(damage: Damage) -> None:
    path = damage.a_file()
    if path is None:
        return
    content, random = damage.content(path), damage.random
    at = random.randrange(len(content) + 1)
    more = random.randbytes(random.choice((1, 2, 4, 8, 100)))
    damage.put(
        path, random.choice((content[:at], content[at:], content + more, content[:at] + more + content[at:]))
    )


def change_length(damage: Damage) -> None:
    """Of a message, most likely: all files but those of pages begin with a header of up to 8 bytes."""
    path = damage.a_file()
    if path is None:
        return
    content = bytearray(damage.content(path))
    at = damage.random.choice((4, 8, 8, 8, damage.random.randrange(len(content) + 1)))
    content[at : at + 4] = (damage.random.choice(NUMBERS) & 2**32 - 1).to_bytes(4, "little")
    damage.put(path, bytes(content))


def zeros(damage: Damage) -> None:
    path = damage.a_file()
    if path is None:
        return
    kept = damage.random.choice((0, 4, 8, 16))
    damage.put(path, damage.content(path)[:kept] + bytes(damage.random.choice((0, 1, 4, 5, 100, 70000))))


# -- files


def exchange(damage: Damage) -> None:
    one, other = damage.a_file(), damage.a_file()
    if one is None or other is None:
        return
    first, second = damage.content(one), damage.content(other)
    damage.put(one, second)
    damage.put(other, first)


def something_else_there(damage: Damage) -> None:
    path = damage.a_file()
    if path is None:
        return
    damage.clear(path)
    match damage.random.randrange(6):
        case 0:
            os.mkfifo(path)
        case 1:
            path.mkdir()
        case 2:
            path.symlink_to(damage.random.choice(("nowhere", "/dev/zero", "/etc/passwd", path.name, "..")))
        case 3:
            with socket.socket(socket.AF_UNIX) as made:
                os.chdir(path.parent)
                made.bind(path.name)
                os.chdir("/")
        case 4:
            path.write_bytes(b"")
        case _:
            pass


def sparse(damage: Damage) -> None:
    path = damage.a_file()
    if path is None:
        return
    content = damage.content(path)
    damage.put(path, content)
    os.truncate(path, len(content) + damage.random.choice(SPARSE))


def one_more_file(damage: Damage) -> None:
    directory = damage.random.choice([*damage.links, damage.chain])
    name = damage.random.choice(NAMES)
    other = damage.a_file(damage.random.choice(("pagemap", "pages", "")))
    if other is not None and not os.path.lexists(directory / name):
        damage.put(directory / name, damage.content(other))


# -- directories


def another_parent(damage: Damage) -> None:
    if not damage.links:
        return
    path = damage.random.choice(damage.links) / "parent"
    damage.clear(path)
    target = damage.random.choice((*PARENTS, str(damage.chain / "1")))
    match damage.random.randrange(4):
        case 0:
            pass
        case 1:
            path.write_text(target)
        case _:
            path.symlink_to(target)


def rename_a_link(damage: Damage) -> None:
    if not damage.links:
        return
    link = damage.random.choice(damage.links)
    name = damage.random.choice(("5", "2.partial", "0", "007", "x", "99999999999", "\x1b"))
    if not os.path.lexists(link.with_name(name)):
        damage.clear(link.with_name(name))
        damage._touched.add(link)
        link.rename(link.with_name(name))


def one_more_link(damage: Damage) -> None:
    """A newer one, whole or incomplete, or an empty directory."""
    path = damage.chain / damage.random.choice(("4", "7", "10"))
    if os.path.lexists(path) or not damage.links:
        return
    damage.clear(path)
    kind = damage.random.randrange(3)
    if kind:
        path.mkdir()
        for whole in damage.files:
            if whole.parent == damage.links[-1]:
                (path / whole.name).write_bytes(damage.content(whole))
        if kind == 1:
            (path / "stats-dump").unlink(missing_ok=True)
    else:
        path.mkdir()


ON_FILES: tuple[Callable[[Damage], None], ...] = (
    flip_bits, flip_bits, cut_or_add, change_length, zeros, exchange, something_else_there, sparse,
    one_more_file, another_parent, rename_a_link, one_more_link,
)  # fmt: skip
