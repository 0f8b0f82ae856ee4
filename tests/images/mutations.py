"""Ways to damage a chain: bytes and files, but also fields, entries and directories, so that what is
damaged is still read far enough to matter."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from engine.images.framing import Magic, header, pack
from engine.images.proto.core_pb2 import CoreEntry
from engine.images.proto.inventory_pb2 import InventoryEntry
from engine.images.proto.mm_pb2 import MmEntry
from engine.images.proto.pstree_pb2 import PstreeEntry
from engine.images.proto.stats_pb2 import StatsEntry
from engine.images.stats import DumpStats
from tests.images import reference
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
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 2**22, 2**63, 10**40, 1.5, "", "x", "\x1b[2J", "memory", "criu",
    [], [1], {}, {"planted": []}, [[]], ["4096", "8192"],
)  # fmt: skip
_MANY = 100
"""Pages that are written: beyond, a file of zeros has to do, which takes no room."""
SPARSE = (1, 2**16, 2**20, 2**31, 2**40, 2**62)
KINDS: dict[str, tuple[Magic, type[Message]]] = {
    "stats-dump": (Magic.STATS, StatsEntry),
    "inventory": (Magic.INVENTORY, InventoryEntry),
    "pstree": (Magic.PSTREE, PstreeEntry),
    "mm": (Magic.MM, MmEntry),
    "core": (Magic.CORE, CoreEntry),
}


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


# -- messages


def change_a_field(damage: Damage) -> None:
    prefix = damage.random.choice(list(KINDS))
    path = damage.a_file(prefix)
    if path is None:
        return
    magic, kind = KINDS[prefix]
    content = damage.content(path)
    begin = len(header(magic))
    length = int.from_bytes(content[begin : begin + 4], "little")
    message = kind()
    try:
        message.ParseFromString(content[begin + 4 : begin + 4 + length])
    except Exception:  # noqa: BLE001 -- it has been damaged already
        return
    for _ in range(damage.random.choice((1, 1, 2))):
        _change(message, damage.random)
    messages: list[Message] = [message] * damage.random.choice((1, 1, 1, 1, 0, 2, 3))
    payloads = [message.SerializePartialToString() for message in messages]
    framed = b"".join(len(payload).to_bytes(4, "little") + payload for payload in payloads)
    damage.put(path, header(magic) + framed)


def _change(message: Message, random: Random) -> None:
    """Give a field, of this message or of one within it, another value, or none."""
    field: Any = random.choice(list(message.DESCRIPTOR.fields))
    if field.is_repeated:
        values = getattr(message, field.name)
        if field.message_type is not None:
            if values and random.random() < 0.7:
                _change(random.choice(values), random)
            else:
                values.add()
        elif values and random.random() < 0.5:
            del values[random.randrange(len(values))]
        else:
            values.append(_value(field, random))
    elif random.random() < 0.2:
        message.ClearField(field.name)
    elif field.message_type is not None:
        _change(getattr(message, field.name), random)
    else:
        setattr(message, field.name, _value(field, random))


def _value(field: Any, random: Random) -> object:
    if field.enum_type is not None:
        return random.choice(list(field.enum_type.values_by_number))
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_BOOL:
            return random.random() < 0.5
        case FieldDescriptor.CPPTYPE_STRING:
            return b"x" if field.type == FieldDescriptor.TYPE_BYTES else "\x1b[2J"
        case FieldDescriptor.CPPTYPE_UINT32:
            return random.choice(NUMBERS) & 2**32 - 1
        case FieldDescriptor.CPPTYPE_INT32 | FieldDescriptor.CPPTYPE_INT64:
            return random.choice((-1, 0, 1, 2**31 - 1, -(2**31)))
        case _:
            return random.choice(NUMBERS)


# -- pagemaps


def change_an_entry(damage: Damage) -> None:
    path = damage.a_file("pagemap")
    if path is None:
        return
    try:
        head, *entries = reference.fields_of(damage.content(path))
    except (OSError, ValueError, IndexError):  # it has been damaged already
        return
    random = damage.random
    for _ in range(random.choice((1, 1, 2, 3))):
        at = random.randrange(len(entries) + 1)
        match random.randrange(8):
            case 0 if entries:
                del entries[at % len(entries)]
            case 1 if entries:
                entries.insert(at, dict(entries[at % len(entries)]))
            case 2 if entries:
                _split(entries, at % len(entries))
            case 3:
                count = random.choice((1, 1, 1, 2**30))
                first, flags = random.choice((1, 3, 9, 10, 2**35)) * PAGE, random.choice((0, 1, 2, 4, 6))
                entries.insert(at, {1: first, 2: count, 5: count, 4: flags})
            case 4:
                head[random.choice((1, 1, 1, 2))] = random.choice((1, 2, 7, 9, 2**32 - 1))
            case 5 if entries:
                entry = entries[at % len(entries)]
                entry[random.choice((4, 4, 4, 3))] = random.choice((0, 1, 2, 3, 4, 5, 6, 7, 8))
            case 6 if entries:
                _another_length(entries[at % len(entries)], random)
            case _ if entries:
                entry = entries[at % len(entries)]
                entry[random.choice((1, 2, 3, 4, 5, 6, 15, 16))] = random.choice(NUMBERS)
    damage.put(path, encode(Magic.PAGEMAP, [head, *entries], random))


def _split(entries: list[dict[int, int]], at: int) -> None:
    """Make two entries of one that has two pages or more: what is listed stays the same."""
    entry = entries[at]
    count = entry[5] if 5 in entry else entry.get(2, 0)
    if 1 < count < 2**20:
        one, other = dict(entry), dict(entry)
        other[1] = entry.get(1, 0) + PAGE
        for number in entry.keys() & {2, 5}:
            if entry[number]:
                one[number], other[number] = 1, count - 1
        entries[at : at + 1] = [one, other]


def _another_length(entry: dict[int, int], random: Random) -> None:
    """In one field, in the other, in both, or in both and not the same."""
    count = random.choice((0, 1, 1, 2, 3, 9))
    entry.pop(5, None)
    entry[2] = random.choice((0, count))
    if entry[2] == 0 or random.random() < 0.5:
        entry[5] = random.choice((count, count, count + 1))


def encode(magic: Magic, messages: list[dict[int, int]], random: Random) -> bytes:
    """A file of messages of numbers, in an order that CRIU has, or in another."""
    data = [header(magic)]
    for fields in messages:
        items = list(fields.items())
        if random.random() < 0.1:
            random.shuffle(items)
        payload = b"".join(_varint(number << 3) + _varint(value) for number, value in items)
        data += (len(payload).to_bytes(4, "little"), payload)
    return b"".join(data)


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*digits, value))


def repair(damage: Damage) -> None:
    """Make pages files as long as the pagemaps say, and the figures agree: what else is wrong remains."""
    for link in damage.links:
        counts = {True: [0, 0], False: [0, 0]}
        for path in sorted(link.glob("pagemap-*.img")):
            try:
                head, *entries = reference.fields_of(damage.content(path))
                listed = [
                    (
                        fields.get(4, 0) | (1 if fields.get(3) else 0) or 4,
                        fields[5] if 5 in fields else fields[2],
                    )
                    for fields in entries
                ]
                present = sum(count for flags, count in listed if flags & 4)
                counts["shmem" not in path.name][0] += present
                counts["shmem" not in path.name][1] += sum(count for flags, count in listed if flags & 1)
                pages = link / f"pages-{head[1]}.img"
            except (OSError, ValueError, IndexError, KeyError):
                return
            content = damage.content(pages)
            if present < _MANY:
                content = (content + damage.random.randbytes(PAGE) * present)[: present * PAGE]
            damage.put(pages, content)
            if _MANY <= present < 2**50:
                os.truncate(pages, present * PAGE)
        if any(number >= 2**63 for pair in counts.values() for number in pair) or not link.is_dir():
            return
        stats = DumpStats(
            pages_written=counts[True][0],
            pages_skipped_parent=counts[True][1],
            shpages_written=counts[False][0],
            shpages_skipped_parent=counts[False][1],
        )
        damage.put(link / "stats-dump", pack(Magic.STATS, [stats.to_message()]))


# -- sidecars


def change_the_sidecar(damage: Damage) -> None:
    path = damage.a_file("dirtytop.json")
    if path is None:
        return
    try:
        fields = json.loads(damage.content(path))
    except (ValueError, RecursionError):  # it has been damaged already
        return
    _change_json(fields, damage.random)
    text = json.dumps(fields)
    match damage.random.randrange(8):
        case 0:
            text = text.replace('"schema": 2', '"schema": 2, "schema": 2', 1)
        case 1:
            text = "[" * 100_000 + text
        case 2:
            text = text.replace("42", "9" * damage.random.choice((19, 20, 21, 5000)), 1)
        case 3:
            text = text.replace("42", damage.random.choice(("1e999", "NaN", "-Infinity", "4.2e1")), 1)
    damage.put(path, text.encode())


def _change_json(value: Any, random: Random) -> None:
    if isinstance(value, dict) and value:
        key = random.choice(list(value))
        if isinstance(value[key], dict | list) and random.random() < 0.7:
            _change_json(value[key], random)
        elif random.random() < 0.2:
            del value[key]
        else:
            value[key] = random.choice(VALUES)
    elif isinstance(value, list):
        if value and random.random() < 0.6:
            at = random.randrange(len(value))
            if isinstance(value[at], dict | list):
                _change_json(value[at], random)
            else:
                value[at] = random.choice(VALUES)
        else:
            value.append(random.choice(value) if value and random.random() < 0.5 else random.choice(VALUES))


MUTATIONS: tuple[Callable[[Damage], None], ...] = (
    flip_bits, flip_bits, cut_or_add, change_length, zeros, exchange, something_else_there, sparse,
    one_more_file, another_parent, rename_a_link, one_more_link, change_a_field, change_a_field,
    change_an_entry, change_an_entry, change_an_entry, change_the_sidecar,
)  # fmt: skip
