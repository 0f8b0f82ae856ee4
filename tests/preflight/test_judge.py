"""Findings: what each CRIU makes of the same facts, how options change that, and how it is said."""

from __future__ import annotations

import json
import os
import stat

import pytest

from engine.kernel.descriptors import OpenFile
from engine.kernel.maps import parse_line
from engine.kernel.sock_diag import ESTABLISHED, Socket
from engine.pageset import PageSet
from engine.preflight.dumper import Dumper
from engine.preflight.facts import Kernel, Thread, Us
from engine.preflight.finding import Finding, Part, Severity, Version
from engine.preflight.judge import judge, prevents
from tests.preflight.trees import OURS, process, tree

DEBIAN_12: Version = (3, 17, 1)
DEBIAN_13: Version = (4, 1, 1)
NEWEST: Version = (4, 2, 0)


def keys(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.key for finding in findings}


def descriptor(name: bytes, number: int = 3, **facts: object) -> OpenFile:
    return OpenFile(number, name, **facts)  # type: ignore[arg-type]


def test_nothing_special_is_nothing_to_tell() -> None:
    assert judge(tree(), Dumper()) == ()


@pytest.mark.parametrize(
    ("version", "expected"),
    [(DEBIAN_12, {"guard-region"}), (DEBIAN_13, {"guard-region"}), (NEWEST, set())],
)
def test_guard_regions_are_saved_since_4_2(version: Version, expected: set[str]) -> None:
    guarded = process(guarded=PageSet.from_pages([7]))
    assert keys(judge(tree(guarded), Dumper(version))) == expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [(DEBIAN_12, {"pidfd"}), (DEBIAN_13, {"pidfd-outside"}), (NEWEST, {"pidfd-outside"})],
)
@pytest.mark.parametrize("name", [b"anon_inode:[pidfd]", b"pidfd:[77]"])
def test_pidfds_are_saved_since_4_1_if_they_are_of_the_tree(
    version: Version, expected: set[str], name: bytes
) -> None:
    outside = process(files=(descriptor(name, details=(b"Pid:\t1", b"NSpid:\t1")),))
    assert keys(judge(tree(outside), Dumper(version))) == expected
    inside = process(files=(descriptor(name, details=(b"Pid:\t100",)),))
    assert keys(judge(tree(inside), Dumper(version))) == expected - {"pidfd-outside"}


@pytest.mark.parametrize(
    ("lock", "expected"), [("iptables", {"no-iptables-program"}), ("nftables", set()), ("skip", set())]
)
def test_a_network_of_its_own_is_locked_by_programs_that_may_be_missing(
    lock: str, expected: set[str]
) -> None:
    lacks = Kernel(has_iptables=False)
    alone = tree(process(namespaces={**OURS, "net": 22}), kernel=lacks)
    assert keys(judge(alone, Dumper(network_lock=lock))) == expected
    assert keys(judge(tree(kernel=lacks), Dumper(network_lock=lock))) == set()


@pytest.mark.parametrize(("lock", "expected"), [("iptables", {"no-iptables-program"}), ("skip", set())])
def test_so_are_connections_that_are_saved(lock: str, expected: set[str]) -> None:
    connection = Socket(5, 2, 1, ESTABLISHED)
    connected = tree(
        process(files=(descriptor(b"socket:[5]", protocol="TCP"),)),
        sockets={5: connection},
        kernel=Kernel(has_iptables=False),
    )
    saves = Dumper(options=frozenset({"tcp-established"}), network_lock=lock)
    assert keys(judge(connected, saves)) - {"tcp-connection", "network-socket"} == expected


def test_a_connection_that_is_to_be_closed_is_lost_and_prevents_nothing() -> None:
    connected = tree(
        process(files=(descriptor(b"socket:[5]", protocol="TCP"),)),
        sockets={5: Socket(5, 2, 1, ESTABLISHED)},
    )
    (found,) = judge(connected, Dumper(options=frozenset({"tcp-close"})))
    assert (found.key, found.severity) == ("tcp-closed", Severity.LOST)


@pytest.mark.parametrize(("free", "expected"), [({2 << 20}, set()), ({1 << 30}, {"memfd-huge"})])
def test_a_memfd_of_huge_pages_is_known_by_a_page_that_is_free(free: set[int], expected: set[str]) -> None:
    huge = os.stat_result((stat.S_IFREG, 7, 22, 0, 0, 0, 2 << 20, 0, 0, 0), {"st_blksize": 2 << 20})
    held = process(files=(descriptor(b"/memfd:held (deleted)", status=huge),))
    kernel = Kernel(memory_device=1, free_huge_pages=frozenset(free))
    assert keys(judge(tree(held, kernel=kernel), Dumper())) == expected


@pytest.mark.parametrize("version", [DEBIAN_12, DEBIAN_13, NEWEST])
def test_network_sockets_are_refused_by_a_criu_that_is_older_than_the_kernel(version: Version) -> None:
    listening = process(files=(descriptor(b"socket:[5]", protocol="TCP"),))
    new, old = Kernel(hides_pass_credentials=True), Kernel(hides_pass_credentials=False)
    assert keys(judge(tree(listening, kernel=old), Dumper(version))) == set()
    expected = set() if version == NEWEST else {"network-socket"}
    assert keys(judge(tree(listening, kernel=new), Dumper(version))) == expected


def test_an_option_turns_what_prevents_a_dump_into_something_worth_knowing() -> None:
    connected = tree(
        process(files=(descriptor(b"socket:[5]", protocol="TCP"),)),
        sockets={5: Socket(5, 2, 0, ESTABLISHED)},
    )
    (without,) = judge(connected, Dumper())
    assert (without.severity, without.option) == (Severity.OPTION, "tcp-established")
    assert prevents((without,))
    (with_it,) = judge(connected, Dumper(options=frozenset({"tcp-established"})))
    assert with_it.severity is Severity.NOTE
    assert not prevents((with_it,))


def test_privileges_that_an_old_criu_forgets_are_told_only_of_it() -> None:
    bound = tree(process(status={"NoNewPrivs": "1", "CapAmb": "0000000000000400"}))
    assert keys(judge(bound, Dumper(DEBIAN_12))) == {"no-new-privileges", "ambient-capabilities"}
    assert judge(bound, Dumper(NEWEST)) == ()


def test_a_sigtrap_that_is_ignored_is_worth_knowing_for_criu_alone() -> None:
    (finding,) = judge(tree(process(status={"SigIgn": "0000000000000010"})), Dumper())
    assert (finding.key, finding.severity, finding.part) == ("ignored-sigtrap", Severity.NOTE, Part.CRIU)
    assert judge(tree(process(status={"SigIgn": "000000000000000f"})), Dumper()) == ()


def test_a_filter_of_the_targets_counts_only_where_we_have_one_too() -> None:
    filtered = process(threads=(Thread(100, {"Seccomp": "2"}),))
    assert judge(tree(filtered), Dumper()) == ()
    assert keys(judge(tree(filtered, us=Us(OURS, seccomp=2)), Dumper())) == {"seccomp-confined"}


def test_plugins_make_the_difference_for_a_gpu() -> None:
    device = os.stat_result(
        (stat.S_IFCHR | 0o666, 1, 1, 1, 0, 0, 0, 0, 0, 0), {"st_rdev": os.makedev(195, 0)}
    )
    busy = tree(process(files=(descriptor(b"/dev/nvidia0", status=device),)))
    assert keys(judge(busy, Dumper())) == {"gpu"}
    (told,) = judge(busy, Dumper(plugins=frozenset({"cuda_plugin"})))
    assert told.severity is Severity.NOTE


def test_the_worst_comes_first_and_each_rule_once() -> None:
    things = (
        descriptor(b"pipe:[9]", 3, flags=os.O_RDONLY),
        *(descriptor(b"anon_inode:[io_uring]", number) for number in range(4, 10)),
    )
    first, second = process(100, files=things), process(101, parent=100, files=things)
    findings = judge(tree(first, second), Dumper())
    assert [finding.key for finding in findings] == ["io-uring", "half-pipe"]
    assert len(findings[0].places) == 12
    assert findings[0].text == (
        "io_uring: descriptor 4 ([io_uring]), 5, 6 and 3 more of process 100 (target), and 1 more process: "
        "no criu can save it"
    )


@pytest.mark.parametrize("identifier", [0, 32769])
def test_shared_memory_of_system_v_is_found_whatever_its_identifier(identifier: int) -> None:
    line = b"7f000000-7f001000 rw-s 00000000 00:01 %d /SYSV00000000 (deleted)" % identifier
    assert keys(judge(tree(process(vmas=(parse_line(line),))), Dumper())) == {"sysv-memory"}


def test_what_strangers_named_is_shown_and_never_obeyed() -> None:
    odd = descriptor(b"anon_inode:\x1b[31m[evil]\n")
    (finding,) = judge(tree(process(files=(odd,))), Dumper())
    assert "\x1b" not in finding.text
    assert "\n" not in finding.text
    assert "␛[31m[evil]␊" in finding.text


def test_the_json_form_is_stable() -> None:
    (finding,) = judge(tree(process(files=(descriptor(b"anon_inode:[io_uring]"),))), Dumper())
    form = json.loads(json.dumps(finding.as_json()))
    assert form == {
        "key": "io-uring",
        "severity": "blocks the dump",
        "concerns": ["criu"],
        "title": "io_uring",
        "why": "no criu can save it",
        "hint": "start it without io_uring (node.js: UV_USE_IO_URING=0)",
        "option": None,
        "places": [{"pid": 100, "command": "target", "thing": "descriptor 3", "detail": "[io_uring]"}],
    }
