"""Which of CRIU's options a file of options may set, for what we ask CRIU for (criu/config.c).

CRIU takes options from /etc/criu/default.conf, from .criu/default.conf in the home directory, and from the
file that the variable CRIU_CONFIG_FILE names; then from our request; then from the file that the request
names, which has the last word. Some options would break what we do with the images, or do to the target
what nobody ordered. So each request names a file of ours. It holds, in this order, lines of our own,
lines that undo what the first three files say, and the user's own file.

Ours come first: an option that lacks its value takes the next line for it, and `feature` ends the reading.
Nothing in the user's file can undo them, because it is refused if it tries.

Everything here is a function of the text of files. Which ones are read, and whether they can be trusted, is
decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from engine.errors import NotSupported
from engine.printable import printable


class Use(Enum):
    """What CRIU is asked for."""

    LINK = "a link of criu's"
    SPLICE = "a spliced dump"
    RESTORE = "a restore"


class ConfigFile(NamedTuple):
    """A file of options."""

    name: str
    """To be told to the user."""
    text: bytes


class _Rule(NamedTuple):
    """What options may not be set in a file, and what is done about files that are not meant for us."""

    names: frozenset[str]
    uses: tuple[Use, ...]
    why: str
    hint: str
    undone_by: str | None
    """The line that undoes it where another file sets it; empty if our request does; None if nothing does."""


_ALL: Final = (Use.LINK, Use.SPLICE, Use.RESTORE)
_DUMPS: Final = (Use.LINK, Use.SPLICE)
_REQUEST: Final = ""
_LEAVE_IT: Final = "leave it out"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_RULES: Final = (
    _Rule(_names("images-dir"), _ALL, "dirtytop decides where the images are", _LEAVE_IT, _REQUEST),
    _Rule(_names("work-dir log-file"), _ALL, "dirtytop reads what criu logs", _LEAVE_IT, _REQUEST),
    _Rule(_names("prev-images-dir"), _ALL, "dirtytop decides what a link builds on", _LEAVE_IT, None),
    _Rule(
        _names("leave-running leave-stopped"),
        _DUMPS,
        "dirtytop decides what becomes of the target",
        "use `--after run` or `--after stop`",
        None,
    ),
    _Rule(
        _names("leave-stopped"),
        (Use.RESTORE,),
        "dirtytop decides whether it is left stopped",
        "use `--leave-stopped`",
        "leave-running",
    ),
    _Rule(
        _names("restore-detached no-restore-detached daemon no-daemon restore-sibling no-restore-sibling"),
        (Use.RESTORE,),
        "dirtytop decides whose child it becomes",
        "use `--detach`, or leave that out too",
        _REQUEST,
    ),
    _Rule(_names("page-server"), _ALL, "the pages would go elsewhere", _LEAVE_IT, "no-page-server"),
    _Rule(
        _names("lazy-pages"),
        _ALL,
        "the pages would be left to a server, and criu would wait for it",
        _LEAVE_IT,
        _REQUEST,
    ),
    _Rule(
        _names("ps-socket"),
        _ALL,
        "its number names another descriptor here",
        _LEAVE_IT,
        _REQUEST,
    ),
    _Rule(
        _names("status-fd close"),
        _ALL,
        "its number names another descriptor here",
        _LEAVE_IT,
        None,
    ),
    _Rule(_names("stream"), _ALL, "the images would go elsewhere", _LEAVE_IT, "no-stream"),
    _Rule(_names("auto-dedup"), _ALL, "it takes pages out of existing links", _LEAVE_IT, _REQUEST),
    _Rule(
        _names("track-mem no-track-mem"),
        _DUMPS,
        "dirtytop decides when memory is tracked",
        _LEAVE_IT,
        _REQUEST,
    ),
    _Rule(_names("pre-dump-mode"), (Use.LINK,), "dirtytop has to know it", "use `--pre-dump-mode`", _REQUEST),
    _Rule(_names("action-script"), (Use.SPLICE,), "it would see incomplete images", _LEAVE_IT, None),
    _Rule(_names("tls"), (Use.SPLICE,), "there is nothing that speaks it", _LEAVE_IT, "no-tls"),
    _Rule(
        _names("compress compress-region compress-acceleration"),
        _DUMPS,
        "dirtytop does not know compressed pages, and could not go on with them",
        _LEAVE_IT,
        None,
    ),
    _Rule(_names("feature help version"), _ALL, "criu stops reading its options there", _LEAVE_IT, None),
)

# All that CRIU 4.2 has, and what 4.3 is known to add: an abbreviation of one of these stands for it.
_SWITCHES: Final = _names(
    "restore-detached restore-sibling daemon tcp-established log-pid evasive-devices link-remap shell-job "
    "file-locks page-server track-mem auto-dedup force-irmap extra experimental skip-in-flight deprecated "
    "display-stats weak-sysctls tcp-close stream tls skip-file-rwx-check mntns-compat-mode unprivileged "
    "ghost-fiemap allow-uprobes compress"
)
_OTHERS: Final = _names(
    "tree leave-stopped leave-running images-dir work-dir log-file join-ns root ext-unix-sk help close "
    "version pidfile veth-pair action-script address port prev-images-dir ms libdir cpu-cap ext-mount-map "
    "exec-cmd manage-cgroups cgroup-root inherit-fd feature skip-mnt enable-fs enable-external-sharing "
    "enable-external-masters freeze-cgroup ghost-limit irmap-scan-path lsm-profile timeout external empty-ns "
    "lazy-pages all cgroup-props cgroup-props-file cgroup-dump-controller status-fd verbosity ps-socket "
    "config no-default-config tls-cacert tls-cacrl tls-cert tls-key tls-no-cn-verify cgroup-yard "
    "pre-dump-mode file-validation lsm-mount-context network-lock compress-region compress-acceleration"
)
KNOWN: Final = _SWITCHES | {f"no-{name}" for name in _SWITCHES} | _OTHERS
"""Every option that a line can name."""

_LINE: Final = re.compile(rb"[ \t\v\f\r]*([^ \t\v\f\r]+)[ \t\v\f\r]*(.*)")


@dataclass(frozen=True, slots=True)
class _Statement:
    """A line that sets an option."""

    file: str
    line: int
    text: str
    """The option as it is written there."""
    names: frozenset[str]
    """The options that it may be: one, unless it is abbreviated."""

    def refused(self, why: str, hint: str) -> NotSupported:
        """The error that says so."""
        return NotSupported(f"{self.file}, line {self.line}: `{self.text}`: {why}", hint=hint)


def request_config(
    use: Use,
    given: ConfigFile | None = None,
    others: Iterable[ConfigFile] = (),
    *,
    ours: Sequence[str] = (),
    ends_target: bool = False,
) -> bytes:
    """The file of options for one request; empty if it needs none.

    Args:
        use: what is asked for.
        given: the user's own, for this request.
        others: those that CRIU reads in any case, in its order.
        ours: lines of our own.
        ends_target: whether the target is to be ended by a dump.

    Raises:
        NotSupported: a file sets what would break that, and it cannot be undone; which, where, and why.
    """
    lines = list(ours)
    for statement, rule in _harmful(use, others):
        by_request = rule.undone_by == _REQUEST
        # A request can have the target go on, whatever was said before; that it ends cannot be said again.
        if "leave-running" in rule.names:
            by_request = not ends_target
        if by_request:
            continue
        if rule.undone_by is None:
            raise statement.refused(rule.why, f"{rule.hint}, or take it out of that file")
        if rule.undone_by not in lines:
            lines.append(rule.undone_by)
    text = "".join(f"{line}\n" for line in lines).encode()
    if given is not None:
        for statement, rule in _harmful(use, [given]):
            raise statement.refused(rule.why, rule.hint)
        text += given.text + b"\n"
    return text


def _harmful(use: Use, files: Iterable[ConfigFile]) -> Iterator[tuple[_Statement, _Rule]]:
    """Every line that may not be, for this use, and the rule that it breaks."""
    for file in files:
        for statement in _statements(file):
            for rule in _RULES:
                if use in rule.uses and not statement.names.isdisjoint(rule.names):
                    yield statement, rule


def _statements(file: ConfigFile) -> Iterator[_Statement]:
    """Every line that sets an option, read at least as widely as CRIU reads it.

    Raises:
        NotSupported: what CRIU would make of a line cannot be told.
    """
    shown = printable(file.name)
    for number, line in enumerate(file.text.split(b"\n"), start=1):
        found = _LINE.match(line)
        if found is None or found[1].startswith(b"#"):
            continue
        name = found[1].split(b"=")[0].split(b"#")[0].decode("utf-8", "replace")
        exact = {name} & KNOWN
        names = exact or {known for known in KNOWN if known.startswith(name)}
        statement = _Statement(shown, number, printable(name), frozenset(names))
        if b"\0" in line:
            raise statement.refused("it holds a zero byte, and criu reads no further", _LEAVE_IT)
        # An option that takes no value leaves it standing as an argument of its own.
        if found[2].lstrip(b'"').startswith(b"-"):
            raise statement.refused("its value begins as an option does", "give it another value")
        yield statement
