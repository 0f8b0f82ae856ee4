"""Lines on stdout, for people and for programs, and complaints on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from engine.printable import printable


class OutputClosed(Exception):
    """Whoever read our output (as in `| head`) has had enough."""


def emit(line: str) -> None:
    """Write one line, at once. Raises OutputClosed."""
    try:
        print(line, flush=True)
    except BrokenPipeError as error:
        raise OutputClosed from error


def emit_json(value: Mapping[str, Any]) -> None:
    """Write one JSON object on a line of its own, at once. Raises OutputClosed."""
    emit(json.dumps(value, separators=(",", ":"), allow_nan=False))


def remark(line: str) -> None:
    """Say on stderr, in one line, what one should know although nothing went wrong."""
    try:
        print(f"note: {printable(line)}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        discard(sys.stderr)  # nobody is listening


def is_read() -> bool:
    """Whether somebody watches stderr as it comes."""
    return sys.stderr.isatty()


def complain(message: str, hint: str = "") -> None:
    """Say on stderr what went wrong, in one line, and what to do about it in another."""
    lines = [f"dirtytop: {printable(message)}"]
    if hint:
        lines.append(f"hint: {printable(hint)}")
    try:
        print(*lines, sep="\n", file=sys.stderr, flush=True)
    except BrokenPipeError:
        discard(sys.stderr)  # nobody is listening; the exit code still says it


def discard(stream: TextIO) -> None:
    """Let go of a stream that nobody reads: what is in its buffer would raise again at the very end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
