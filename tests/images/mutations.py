"""Ways to damage what the files of a chain say: fields, entries and values, so that what is damaged is
still read far enough to matter."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
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
from tests.images.damage import NUMBERS, ON_FILES, Damage
from tests.images.reference import PAGE

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 2**22, 2**63, 10**40, 1.5, "", "x", "\x1b[2J", "memory", "criu",
    [], [1], {}, {"planted": []}, [[]], ["4096", "8192"],
)  # fmt: skip
_MANY = 100
"""Pages that are written: beyond, a file of zeros has to do, which takes no room."""
KINDS: dict[str, tuple[Magic, type[Message]]] = {
    "stats-dump": (Magic.STATS, StatsEntry),
    "inventory": (Magic.INVENTORY, InventoryEntry),
    "pstree": (Magic.PSTREE, PstreeEntry),
    "mm": (Magic.MM, MmEntry),
    "core": (Magic.CORE, CoreEntry),
}


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
    *ON_FILES, change_a_field, change_a_field, change_an_entry, change_an_entry, change_an_entry,
    change_the_sidecar,
)  # fmt: skip
