"""Reads JSON as dirtytop writes it, and refuses whatever else the format allows before it can do harm.

The file may come from anywhere. Python's own reader would make an infinity of `1e999`, take the last of
two fields of one name, spend minutes on a number of a million digits, and end in `RecursionError` over a
hundred thousand brackets.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, TypeVar

from engine.printable import printable

E = TypeVar("E", bound=Enum)

_MOST_DIGITS: Final = 20
_MOST_SHOWN: Final = 40


class Fields:
    """An object, whose fields are asked for by name and kind. Each question raises ValueError, saying why."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{_shown(value)} where there should be fields")
        self._fields: dict[str, object] = value

    def has(self, name: str) -> bool:
        """Whether there is one of this name that is not null."""
        return self._fields.get(name) is not None

    def number(self, name: str, least: int, most: int) -> int:
        """An integer, both bounds included."""
        return checked_number(self._field(name), name, least, most)

    def text(self, name: str, most_characters: int) -> str:
        """A text."""
        return checked_text(self._field(name), name, most_characters)

    def one_of(self, name: str, kind: type[E]) -> E:
        """The name of a member of an enum."""
        value = self._field(name)
        for member in kind:
            if member.value == value:
                return member
        raise ValueError(f"{name} is {_shown(value)}, which is not known here")

    def list(self, name: str) -> Sequence[object]:
        """A list of whatever."""
        value = self._field(name)
        if not isinstance(value, list):
            raise ValueError(f"{name} is not a list")
        return value

    def fields(self, name: str) -> Fields:
        """An object within this."""
        return Fields(self._field(name))

    def _field(self, name: str) -> object:
        if name not in self._fields:
            raise ValueError(f"{name} is missing")
        return self._fields[name]


def checked_number(value: object, name: str, least: int, most: int) -> int:
    """An integer, both bounds included; `name` is of what it is an element or a field. Raises ValueError."""
    # To Python, True is a number.
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is {_shown(value)}, which is not a number")
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}, which is not between {least} and {most}")
    return value


def checked_text(value: object, name: str, most_characters: int) -> str:
    """A text; `name` is of what it is an element or a field. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {_shown(value)}, which is not a text")
    if len(value) > most_characters:
        raise ValueError(f"{name} has {len(value)} characters")
    return value


def parse_fields(data: bytes, most_values: int) -> Fields:
    """The object that a file holds.

    Args:
        data: all of it; of bounded size.
        most_values: how many numbers, texts, lists and objects it may hold.

    Raises:
        ValueError: it is not the JSON that we write; the text says why.
    """
    if data.count(b",") + data.count(b"[") + data.count(b"{") > most_values:
        raise ValueError(f"it holds more than {most_values} values")
    try:
        value = json.loads(
            data.decode("ascii"),
            parse_int=_integer,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
            object_pairs_hook=_unique,
        )
    except UnicodeDecodeError as error:
        raise ValueError("it is not ASCII") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return Fields(value)


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _refuse_number(text: str) -> float:
    raise ValueError(f"{_shown(text)} is not an integer")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("two fields of one name")
    return fields


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if not isinstance(value, str):
        return type(value).__name__
    return printable(value) if len(value) <= _MOST_SHOWN else f"{printable(value[:_MOST_SHOWN])}…"
