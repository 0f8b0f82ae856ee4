"""Who may change a file, or the names in a directory, as far as its owner and mode tell.

POSIX ACLs are seen: where there is one, the group bits of the mode are its mask, the most that any of its
entries gives (acl(5)). Not seen are rights that a server keeps to itself (NFSv4 and SMB ACLs), a file system
that makes up owners (FUSE mounted with `allow_other`), and users who have capabilities.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat

from engine.printable import printable

_ROOT = 0


def is_ours(uid: int) -> bool:
    """Whether a user is root or the one we run as."""
    return uid in (_ROOT, os.geteuid())


def is_shared(status: os.stat_result) -> bool:
    """Whether others may make names in a directory, although each may change only their own: as /tmp."""
    return bool(status.st_mode & stat.S_ISVTX) and bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def who_else_may_change(status: os.stat_result) -> str:
    """Who but root and us can write to a file, or exchange what is ours in a directory.

    Returns:
        In words that follow its name, as in "belongs to bob (uid 1000)"; empty if nobody can.
    """
    if not is_ours(status.st_uid):
        return f"belongs to {_user(status.st_uid)}"
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
        return ""  # names may be added by others, and ours are left alone
    if status.st_mode & stat.S_IWOTH:
        return "may be written to by everybody"
    if status.st_mode & stat.S_IWGRP and not _is_group_of_our_own(status.st_gid):
        return f"may be written to by the group {_group(status.st_gid)}"
    return ""


def _is_group_of_our_own(gid: int) -> bool:
    """Whether a group is the one that many systems make for each user (a umask of 002 goes with that).

    Never for root: no list of users is complete where a server knows more of them, and root has more to lose.
    """
    if os.geteuid() == _ROOT:
        return False
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return (
        gid == user.pw_gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name, "root"}
    )


def _user(uid: int) -> str:
    try:
        return f"{printable(pwd.getpwuid(uid).pw_name)} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _group(gid: int) -> str:
    try:
        return printable(grp.getgrgid(gid).gr_name)
    except KeyError:
        return str(gid)
