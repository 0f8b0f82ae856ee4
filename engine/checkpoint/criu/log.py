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

from engine.preflight.finding import Rule
from engine.preflight.rules import files, namespaces, processes, sockets
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


def _told(rule: Rule) -> str:
    """What pre-flight would have said."""
    return f"{rule.title}: {rule.why}{f'; {rule.hint}' if rule.hint else ''}"


_HINTS: Final = (
    (
        r"\.img: Permission denied",
        "CRIU restores with the rights of the root of the tree's user namespace, who may not read the "
        "images: "
        "`dirtytop restore` gives that access",
    ),
    (r"Can't splice (?:all )?pages", _told(processes.GUARD_REGION)),
    (r"send_fds failed|\[io_uring\]", _told(files.IO_URING)),
    (r"\(/secretmem|path=/secretmem", _told(files.SECRET_MEMORY)),
    (r"^Unknown shit", _told(processes.KERNEL_MAPPING)),
    (r"Can't lookup mount=", _told(files.OTHER_MOUNT)),
    (r"doesn't have a proper root mount", _told(namespaces.NO_ROOT_MOUNT)),
    (r"FS mnt .* unsupported", _told(namespaces.UNKNOWN_FILE_SYSTEM)),
    (r"unreachable sharing", _told(namespaces.SHARED_WITH_OTHERS)),
    (r"root option is required", _told(namespaces.MOUNTS)),
    (r"Can't dump nested .* namespace", _told(namespaces.NESTED)),
    (r"sub-task in NS", _told(namespaces.NESTED_ALONE)),
    (r"Can't get rlimit", _told(processes.LIMITS)),
    (r"Can't make VM id", _told(processes.SHARED_ADDRESS_SPACE)),
    (r"pending SIGTRAP", _told(processes.PENDING_SIGTRAP)),
    (r"Unseizable non-zombie", _told(processes.TRACED)),
    (r"Can't create link remap", _told(files.DELETED_LINKED)),
    (r"Can't dump half of stream|without peer", _told(sockets.UNIX_STREAM)),
    (r"In-flight connection", _told(sockets.TCP_QUEUE)),
    (r"Unsupported proto 262", _told(sockets.MPTCP)),
    (r"socket has data to read", _told(sockets.NETLINK_DATA)),
    (r"Inconsistent sched params", _told(processes.DEADLINE)),
    (r"SysVIPC", _told(processes.SYSV_MEMORY)),
    (r"--shell-job|session leader", "`--shell-job`, if the target may be bound to another terminal"),
    (r"ext-unix-sk|[Ee]xternal (?:unix )?socket", "`--ext-unix-sk` leaves the other end of such sockets out"),
    (r"tcp-established|[Cc]onnected TCP", "`--tcp-established` saves open TCP connections"),
    (r"file-locks|[Ff]ile lock", "`--file-locks` saves file locks; the restored target must be alone"),
    (r"ghost|[Uu]nlinked|deleted file", "`--ghost-limit` sets how large a deleted but open file may be"),
    (
        r"\btty\b|\bpts\b",
        "start the target without a terminal (setsid, output to a file), or try `--shell-job`",
    ),
    (r"bad size|build-ids? .* mismatch|mtime", "the file was changed after the dump: put it back as it was"),
    (r"No space left on device", "the file system is full: make room, or choose another directory"),
    (r"File exists", "a process or thread with that id is already running"),
    (r"Timeout reached|[Tt]imed out", "a thread does not stop; `--freeze-timeout` waits longer"),
    (r"iptables|nft", "try another `--network-lock`"),
    (
        r"Can't get 1:(?:16|34)\b",
        "this criu cannot save network sockets on Linux 6.16 or later: a newer one can",
    ),
    (
        r"in parent pagemap|not found in parent",
        "the kernel reports pages as clean that the previous link does not hold; the next link is a full one",
    ),
    (r"userfaultfd|uffd", _told(files.USERFAULTFD)),
    (r"Can't dump file .* of that type .*\(anon", _told(files.KERNEL_OBJECT)),
    (r"Can't dump file .* of that type", _told(files.DEVICE)),
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
