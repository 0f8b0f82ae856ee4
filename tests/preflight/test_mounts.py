"""Containers seen from outside: which of their mounts CRIU would refuse."""

from __future__ import annotations

import pytest

from engine.kernel.mountinfo import parse_mount
from engine.preflight.dumper import Dumper
from engine.preflight.facts import Tree
from engine.preflight.judge import judge
from tests.preflight.trees import OURS, process, tree

ROOT = b"500 400 0:60 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u"
PROC = b"501 500 0:61 / /proc rw - proc proc rw"
DEV = b"502 500 0:62 / /dev rw - tmpfs tmpfs rw,mode=755"
HOSTS = b"503 500 8:1 /var/lib/docker/containers/1/hosts /etc/hosts rw - ext4 /dev/sda1 rw"
SLAVE = b"504 500 0:64 / /data rw master:3 - tmpfs data rw"
HUGE = b"505 500 0:65 / /huge rw - hugetlbfs hugetlbfs rw"
MASKED = b"506 501 0:62 /null /proc/kcore rw - tmpfs tmpfs rw,mode=755"
OVER_DEV = b"507 502 0:66 / /dev rw - tmpfs other rw"

ITS_OWN = {**OURS, "mnt": 66}
IN_USERS_TOO = {**ITS_OWN, "user": 77, "pid": 78}


def container(*lines: bytes, namespaces: dict[str, int] = ITS_OWN) -> Tree:
    return tree(
        process(namespaces=namespaces, status={"NSpid": "100 1", "NSsid": "100 1"}),
        mounts={66: tuple(parse_mount(line) for line in lines)},
    )


KNOWS_THE_ROOT = Dumper(options=frozenset({"root"}))


def told(of: Tree, dumper: Dumper = KNOWS_THE_ROOT) -> dict[str, str]:
    return {finding.key: finding.places[0].thing for finding in judge(of, dumper)}


def test_a_mount_namespace_needs_to_be_told_its_root_at_the_restore() -> None:
    assert set(told(container(ROOT, PROC, DEV), Dumper())) == {"mount-namespace"}
    assert told(container(ROOT, PROC, DEV)) == {}


@pytest.mark.parametrize(
    ("line", "key", "place"),
    [
        (HOSTS, "no-root-mount", "/etc/hosts"),
        (SLAVE, "mount-sharing", "/data"),
        (HUGE, "file-system", "/huge"),
    ],
)
def test_a_mount_that_criu_cannot_make_again_is_named(line: bytes, key: str, place: str) -> None:
    assert told(container(ROOT, PROC, DEV, line)) == {key: place}


def test_a_part_of_what_is_mounted_as_a_whole_is_fine() -> None:
    assert told(container(ROOT, PROC, DEV, MASKED)) == {}


def test_what_shows_a_part_of_the_root_is_fine_whatever_file_system_that_is() -> None:
    root = b"500 400 8:1 /srv/root / rw - ext4 /dev/sda1 rw"
    inside = b"503 500 8:1 /srv/root/etc /mnt rw - ext4 /dev/sda1 rw"
    assert told(container(root, PROC, inside)) == {}


def test_a_hidden_mount_is_in_the_way_only_in_a_user_namespace() -> None:
    assert told(container(ROOT, PROC, DEV, OVER_DEV)) == {}
    hidden = container(ROOT, PROC, DEV, OVER_DEV, namespaces=IN_USERS_TOO)
    assert "mount-locked" in told(hidden)


def test_with_the_mounts_of_a_child_the_machines_are_judged_too() -> None:
    ours = (b"20 1 8:1 / / rw - ext4 /dev/sda1 rw", b"21 20 0:40 / /share rw - 9p share rw")
    childs = (b"30 2 8:1 / / rw - ext4 /dev/sda1 rw", b"31 30 0:40 / /share rw - 9p share rw")
    mounts = {of: tuple(map(parse_mount, lines)) for of, lines in ((OURS["mnt"], ours), (66, childs))}
    alone = tree(process(), process(101, 100), mounts={OURS["mnt"]: mounts[OURS["mnt"]]})
    assert told(alone) == {}
    assert told(tree(process(), process(101, 100, namespaces=ITS_OWN), mounts=mounts)) == {
        "nested-alone": "its mnt namespace",
        "file-system": "/share",
    }


def test_where_criu_has_been_told_of_mounts_nobody_judges_them() -> None:
    knows = Dumper(options=frozenset({"root"}), externals=frozenset({"mnt[/etc/hosts]:hosts"}))
    assert told(container(ROOT, PROC, HOSTS), knows) == {}
