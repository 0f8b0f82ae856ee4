"""The mounts of a tree, as CRIU judges them where a process of it has a mount namespace of its own.

One child with its own mount namespace makes CRIU judge all mounts that it knows, the machine's own
included (criu/mount.c, collect_mnt_namespaces).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from engine.kernel.mountinfo import Mount
from engine.preflight.dumper import Dumper
from engine.preflight.facts import Tree
from engine.preflight.finding import Rule, Seen
from engine.preflight.rules import namespaces as rules
from engine.printable import printable

_KNOWN: Final = (
    *("proc", "sysfs", "devtmpfs", "binfmt_misc", "tmpfs", "devpts", "simfs", "btrfs", "pstore"),
    *("mqueue", "securityfs", "fusectl", "debugfs", "tracefs", "cgroup", "cgroup2", "aufs", "fuse"),
    *("overlay", "autofs"),
)
"""File systems that CRIU mounts anew (criu/filesystems.c)."""
_SAVED: Final = ("tmpfs", "devtmpfs", "devpts", "binfmt_misc", "fusectl")
"""Those of which it saves the content, for which nothing may hide it."""
_TOP: Final = b"/"

_FileSystem = tuple[tuple[int, int], bytes, str, bytes]


def look(tree: Tree, dumper: Dumper) -> Iterator[Seen]:
    """What speaks against saving the mounts; nothing where CRIU has been told how to treat some."""
    if tree.is_own("mnt"):
        yield Seen(rules.MOUNTS, tree.root.pid, "")
    elif not tree.has_own_mounts:
        return
    if dumper.leaves_out("mnt") or dumper.leaves_out("dev") or dumper.allows("enable-fs"):
        return
    every = list(tree.known_mounts.values())
    of_root = {mount.mount_id for mount in tree.mounts.get(tree.root.namespaces.get("mnt", 0), ())}
    shown: dict[_FileSystem, list[Mount]] = {}
    for mount in every:
        shown.setdefault(_file_system(mount), []).append(mount)
    groups = Counter(mount.shared for mount in every)
    places = Counter((mount.parent_id, mount.point) for mount in every)
    for mount in every:
        same = shown[_file_system(mount)]
        tops = [other for other in same if other.point == _TOP and other.mount_id in of_root]
        rule: Rule | None = None
        if _has_no_master(mount, groups, tops):
            rule = rules.SHARED_WITH_OTHERS
        elif places[mount.parent_id, mount.point] > 1:
            rule = rules.TWICE
        elif not any(_is_below(mount.root, top.root) for top in tops):
            rule = _of_none_at_the_top(mount, same)
        if rule is None and tree.is_own("user") and mount.kind in _SAVED:
            rule = rules.LOCKED if mount.mount_id in tree.hidden_mounts else None
        if rule is not None:
            yield Seen(rule, tree.root.pid, printable(mount.point), mount.kind)


def _file_system(mount: Mount) -> _FileSystem:
    """What tells whether two mounts show the same one (mounts_sb_equal)."""
    return (mount.device, mount.source, mount.kind, mount.options)


def _has_no_master(mount: Mount, groups: Mapping[int, int], tops: Sequence[Mount]) -> bool:
    """Whether it receives mounts from none of the tree's, nor from where the root does."""
    others = groups[mount.master] - (mount.shared == mount.master) if mount.master else 1
    return not others and not any(
        top.master == mount.master and _is_below(mount.root, top.root) for top in tops
    )


def _of_none_at_the_top(mount: Mount, same: Sequence[Mount]) -> Rule | None:
    """Of one that shows no part of what is mounted at the top."""
    if mount.root == _TOP:
        return None if mount.kind in _KNOWN else rules.UNKNOWN_FILE_SYSTEM
    return None if any(other.root == _TOP for other in same) else rules.NO_ROOT_MOUNT


def _is_below(path: bytes, above: bytes) -> bool:
    return above == _TOP or path == above or path.startswith(above + b"/")
