"""Finds in what CRIU wrote the reason why it failed.

CRIU logs an error at each level that it falls through, beginning with the cause, and ends with
"Dumping FAILED". Before all that there may be errors that it survived: the first line at error level
is what its answer carries as `cr_errmsg`, even in a success. So: the first error that is neither
known to be harmless nor a mere consequence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from engine.printable import printable

_ERROR: Final = re.compile(
    rb"^\s*(?:\(\d+\.\d+\)\s+)?(?:pie:\s*)?(?:\d+:\s*)?Error \((?P<where>[^)]*)\): (?P<text>.*)$",
    re.MULTILINE,
)
_STRAY: Final = re.compile(rb"^(?!\(\d+\.\d+\)|Warn\b)(?P<text>\S.*)$", re.MULTILINE)
_LONGEST: Final = 300

_HARMLESS: Final = re.compile(
    r"RLIMIT_NOFILE"
    r"|No parent image found, though parent directory is set"
    r"|^exited, status="
    r"|CRIU cannot|iptables|nftables.*not supported"
    r"|Can't (?:open|stat) .*/sys/kernel/security"
    r"|^Unable to (?:load|find) .*plugin"
)
"""Errors that CRIU survives."""

_CONSEQUENCE: Final = re.compile(
    r"^(?:Pre-d|D)ump(?:ing)? FAILED|^Restoring FAILED|^Dumping FAILED|^Pre-dumping FAILED"
    r"|failed with -?\d+$|^Dump .* failed|^Can't (?:dump|pre-dump) \d+$"
    r"|^(?:Unable to )?(?:unlock|cure) |^\d+ (?:killed by signal|exited, status)|^Cannot dump files"
)
"""Errors that only tell of others before them."""

_HINTS: Final = (
    (r"--shell-job|session leader", "`--shell-job`, if the target may be bound to another terminal"),
    (r"ext-unix-sk|[Ee]xternal (?:unix )?socket", "`--ext-unix-sk` leaves the other end of such sockets out"),
    (r"tcp-established|[Cc]onnected TCP", "`--tcp-established` saves open TCP connections"),
    (r"file-locks|[Ff]ile lock", "`--file-locks` saves file locks; the restored target must be alone"),
    (r"ghost|[Uu]nlinked|deleted file", "`--ghost-limit` sets how large a deleted but open file may be"),
    (r"tty|pts", "start the target without a terminal (setsid, output to a file), or try `--shell-job`"),
    (r"bad size|build-ids? .* mismatch|mtime", "the file was changed after the dump: put it back as it was"),
    (r"No space left on device", "the file system is full: make room, or choose another directory"),
    (r"File exists", "a process or thread of that number runs already"),
    (r"Timeout reached|[Tt]imed out", "a thread does not stop; `--freeze-timeout` waits longer"),
    (r"iptables|nft", "try another `--network-lock`"),
    (r"Can't get 1:(?:16|34)\b", "this criu cannot save network sockets since Linux 6.16: try a newer one"),
    (
        r"in parent pagemap|not found in parent",
        "the kernel calls pages clean that the link before does not hold; the next link is a full one",
    ),
    (r"userfaultfd|uffd", "a userfaultfd of the target's own cannot be checkpointed"),
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why CRIU failed; printable, one line each."""

    text: str
    """What CRIU said."""
    hint: str
    """What to do about it; empty where we know nothing."""


def find_cause(log: bytes, stderr: bytes = b"", answer: str = "") -> Cause | None:
    """The reason for a failure; None if nothing was said.

    Args:
        log: CRIU's log file.
        stderr: what it said before the log was open.
        answer: the `cr_errmsg` of its answer.
    """
    errors = [found["text"] for source in (log, stderr) for found in _ERROR.finditer(source)]
    texts = [_line(text) for text in errors]
    told = [text for text in texts if text and not _HARMLESS.search(text)]
    causes = [text for text in told if not _CONSEQUENCE.search(text)]
    for text in (*causes, *told, _line(answer.encode()), *_strays(stderr)):
        if text and not _HARMLESS.search(text):
            return Cause(text, _hint(text))
    return None


def _strays(stderr: bytes) -> list[str]:
    """Lines that are none of CRIU's own, as of the loader or the shell."""
    return [_line(found["text"]) for found in _STRAY.finditer(stderr) if not _ERROR.match(found[0])]


def _line(text: bytes) -> str:
    shown = printable(text.strip())
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"


def _hint(text: str) -> str:
    return next((hint for pattern, hint in _HINTS if re.search(pattern, text)), "")
