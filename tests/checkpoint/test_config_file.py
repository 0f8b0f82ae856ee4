"""Options that a user's files may set, and those that would break what CRIU is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.checkpoint.criu.config_file import KNOWN, ConfigFile, Use, request_config
from engine.errors import NotSupported

LINKS = (Use.LINK, Use.SPLICE)
EVERY_USE = (*LINKS, Use.RESTORE)
HARMFUL = {
    "images-dir": EVERY_USE,
    "work-dir": EVERY_USE,
    "log-file": EVERY_USE,
    "prev-images-dir": EVERY_USE,
    "page-server": EVERY_USE,
    "lazy-pages": EVERY_USE,
    "ps-socket": EVERY_USE,
    "status-fd": EVERY_USE,
    "close": EVERY_USE,
    "stream": EVERY_USE,
    "auto-dedup": EVERY_USE,
    "leave-stopped": EVERY_USE,
    "leave-running": LINKS,
    "track-mem": LINKS,
    "no-track-mem": LINKS,
    "compress": LINKS,
    "compress-region": LINKS,
    "compress-acceleration": LINKS,
    "pre-dump-mode": (Use.LINK,),
    "action-script": (Use.SPLICE,),
    "tls": (Use.SPLICE,),
    "restore-detached": (Use.RESTORE,),
    "no-restore-detached": (Use.RESTORE,),
    "restore-sibling": (Use.RESTORE,),
    "no-restore-sibling": (Use.RESTORE,),
    "daemon": (Use.RESTORE,),
    "no-daemon": (Use.RESTORE,),
    "feature": EVERY_USE,
    "help": EVERY_USE,
    "version": EVERY_USE,
}
TAKES_A_VALUE = {
    "tree", "images-dir", "work-dir", "log-file", "join-ns", "root", "close", "pidfile", "veth-pair",
    "action-script", "address", "port", "prev-images-dir", "libdir", "ext-mount-map", "cgroup-root",
    "inherit-fd", "feature", "skip-mnt", "enable-fs", "freeze-cgroup", "ghost-limit", "irmap-scan-path",
    "lsm-profile", "timeout", "external", "empty-ns", "cgroup-props", "cgroup-props-file",
    "cgroup-dump-controller", "status-fd", "ps-socket", "config", "tls-cacert", "tls-cacrl", "tls-cert",
    "tls-key", "cgroup-yard", "pre-dump-mode", "file-validation", "lsm-mount-context", "network-lock",
    "compress-region", "compress-acceleration",
}  # fmt: skip
SHORT = {
    "s": "leave-stopped", "R": "leave-running", "D": "images-dir", "W": "work-dir", "o": "log-file",
    "d": "restore-detached", "S": "restore-sibling", "h": "help", "V": "version",
}  # fmt: skip


def user_file(text: str | bytes) -> ConfigFile:
    return ConfigFile("/home/me/criu.conf", text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize("name", HARMFUL)
def test_what_would_break_it_is_refused_with_file_line_and_reason(name: str) -> None:
    for use in HARMFUL[name]:
        with pytest.raises(NotSupported, match=rf"^/home/me/criu\.conf, line 3: `{name}`: \w") as refused:
            request_config(use, user_file(f"# mine\n\n{name} 1\n"))
        assert refused.value.hint


@pytest.mark.parametrize("use", Use)
def test_all_else_is_passed_on(use: Use) -> None:
    harmless = [name for name in sorted(KNOWN) if use not in HARMFUL.get(name, ())]
    assert len(harmless) > 80
    text = "".join(f"{name} 1\n" for name in harmless)
    assert request_config(use, user_file(text)).decode() == f"{text}\n"


@pytest.mark.parametrize(
    "line",
    [
        "stream",
        "  stream",
        "\tstream\t",
        "stream # a comment",
        "stream#",
        "stre",
        "stream=1",
        'stream ""',
        "leave",
        "tcp-close -s",
        "tcp-close --stream",
        'tcp-close "--stream"',
        "root=/x --stream",
        "tcp-close \0",
        "=",
    ],
)
def test_a_line_is_read_as_widely_as_criu_may_read_it(line: str) -> None:
    with pytest.raises(NotSupported, match="line 2"):
        request_config(Use.SPLICE, user_file(f"tcp-close\n{line}"))


@pytest.mark.parametrize("line", ["#stream", "  # stream", "tcp-close # stream", "no-stream", "streams", ""])
def test_what_criu_does_not_take_for_it_is_not_refused(line: str) -> None:
    assert line.encode() in request_config(Use.SPLICE, user_file(line))


def test_our_own_lines_come_first_where_no_line_of_the_users_can_swallow_them() -> None:
    text = request_config(Use.SPLICE, user_file("shell-job\nroot"), ours=["ps-socket 7"])
    assert text.split() == [b"ps-socket", b"7", b"shell-job", b"root"]


def test_without_any_file_there_is_none() -> None:
    assert request_config(Use.LINK) == b""
    assert request_config(Use.LINK, others=[ConfigFile("/etc/criu/default.conf", b"tcp-close\n")]) == b""


@pytest.mark.parametrize(
    ("use", "line", "undone_by"),
    [
        (Use.SPLICE, "page-server", b"no-page-server"),
        (Use.LINK, "stream", b"no-stream"),
        (Use.SPLICE, "tls", b"no-tls"),
        (Use.RESTORE, "leave-stopped", b"leave-running"),
        (Use.LINK, "images-dir /tmp", b""),
        (Use.LINK, "auto-dedup", b""),
        (Use.LINK, "leave-stopped", b""),
        (Use.SPLICE, "track-mem", b""),
        (Use.RESTORE, "lazy-pages", b""),
    ],
)
def test_what_a_file_of_the_system_says_is_undone_where_it_can_be(
    use: Use, line: str, undone_by: bytes
) -> None:
    others = [ConfigFile("/etc/criu/default.conf", line.encode()), ConfigFile("other", line.encode())]
    assert request_config(use, others=others).strip() == undone_by


@pytest.mark.parametrize("line", ["compress", "prev-images-dir ../0", "status-fd 3", "action-script /x"])
def test_what_cannot_be_undone_is_refused_with_the_file_it_is_in(line: str) -> None:
    others = [ConfigFile("/etc/criu/default.conf", b"\n"), ConfigFile("/root/.criu\x1b", line.encode())]
    with pytest.raises(NotSupported, match=r"^/root/\.criu␛, line 1: ") as refused:
        request_config(Use.SPLICE, others=others)
    assert refused.value.hint.endswith("or take it out of that file")


def test_that_a_target_goes_on_can_be_said_again_and_that_it_ends_cannot() -> None:
    others = [ConfigFile("/etc/criu/default.conf", b"leave-running")]
    assert request_config(Use.LINK, others=others) == b""
    with pytest.raises(NotSupported, match="what becomes of the target"):
        request_config(Use.LINK, others=others, ends_target=True)


# -- against how CRIU reads such a file (parse_statement in criu/config.c), and getopt_long then the arguments


def arguments(text: str) -> list[str] | None:
    """What CRIU makes of a file; None if it refuses it."""
    found = []
    for raw in text.split("\n"):
        line = raw.lstrip(" \t\v\f\r")
        if not line or line.startswith("#"):
            continue
        separator = " " if " " in line else "\t"
        name, _, rest = line.partition(separator)
        found.append(f"--{name}")
        rest = rest.lstrip(" \t\v\f\r")
        if separator not in line or rest.startswith("#"):
            continue
        if rest.startswith('"'):
            value, closed, more = rest[1:].partition('"')
            if not closed or "\\" in value:
                return None
        else:
            value, _, more = rest.partition(" ")
        if more.split("#")[0].strip():
            return None
        found.append(value.split("#")[0])
    return found


def options(found: list[str]) -> set[str]:
    """Which options getopt_long sees among arguments, as far as it gets."""
    seen = set()
    rest = list(found)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            break
        if argument.startswith("--"):
            name, has_value, _ = argument[2:].partition("=")
            matching = {name} & KNOWN or {known for known in KNOWN if known.startswith(name)}
            if len(matching) != 1:
                break
            option = matching.pop()
            seen.add(option)
            if option in TAKES_A_VALUE and not has_value and rest:
                rest.pop(0)
        elif argument.startswith("-"):
            seen |= {SHORT[letter] for letter in argument[1:] if letter in SHORT}
    return seen


PIECES = st.sampled_from([*sorted(KNOWN), "stre", "tcp-cl", "leave-r", "-s", "--stream", "/x", "a"])
BETWEEN = st.sampled_from([" ", "\t", "  ", "\n", "\n", '"', "#", "=", "\\", "", "-"])


@given(st.lists(st.tuples(PIECES, BETWEEN), max_size=8), st.sampled_from(Use))
def test_no_file_that_passes_sets_what_would_break_it(pieces: list[tuple[str, str]], use: Use) -> None:
    text = "".join(piece + between for piece, between in pieces)
    try:
        written = request_config(use, user_file(text), ours=["timeout 5"]).decode()
    except NotSupported:
        return
    found = arguments(written)
    if found is not None:
        seen = options(found)
        assert "timeout" in seen
        assert not {name for name in seen if use in HARMFUL.get(name, ())}
