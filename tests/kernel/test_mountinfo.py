"""`/proc/PID/mountinfo`, by its grammar, and as this kernel has it."""

from __future__ import annotations

import os

from engine.kernel.mountinfo import parse_mount, read_mounts

PLAIN = b"36 35 98:0 /mnt1 /mnt2 rw master:7 shared:9 propagate_from:2 - ext3 /dev/root rw,errors=continue"


def test_every_field_is_understood() -> None:
    mount = parse_mount(PLAIN)
    assert (mount.mount_id, mount.parent_id, mount.device) == (36, 35, (98, 0))
    assert (mount.root, mount.point, mount.kind) == (b"/mnt1", b"/mnt2", "ext3")
    assert (mount.source, mount.options) == (b"/dev/root", b"rw,errors=continue")
    assert (mount.master, mount.shared) == (7, 9)


def test_names_that_look_like_fields_are_names() -> None:
    mount = parse_mount(rb"1 2 0:5 / /a\040-\040ext4\012b\134 rw - fuse.sshfs - rw")
    assert mount.point == b"/a - ext4\nb\\"
    assert (mount.kind, mount.source, mount.shared) == ("fuse", b"-", 0)
    assert mount.asks_a_server


def test_a_mount_without_a_source_is_one() -> None:
    mount = parse_mount(b"1 2 0:5 / /a rw - tmpfs  rw")
    assert (mount.kind, mount.source, mount.options) == ("tmpfs", b"", b"rw")


def test_the_mounts_of_this_process_are_a_tree_with_a_root() -> None:
    mounts = read_mounts(os.getpid())
    assert any(mount.point == b"/" for mount in mounts)
    assert len({mount.mount_id for mount in mounts}) == len(mounts)
