"""Rules about namespaces and the mounts in them: containers, seen from outside."""

from __future__ import annotations

from typing import Final

from engine.preflight.finding import Rule, Severity
from engine.preflight.rules.wording import by_config

_RUNTIME: Final = (
    "use the container runtime's own checkpoint (podman, docker, runc), which tells criu of its mounts"
)

NESTED: Final = Rule(
    "nested-namespace",
    "namespace",
    "the root of the tree is not in it, which criu allows only of mount and network namespaces",
    "criu/namespaces.c, generate_ns_id",
    hint="checkpoint the process that leads that namespace, by itself",
)
NESTED_ALONE: Final = Rule(
    "nested-alone",
    "namespace",
    "the root of the tree is in the machine's own one, and criu cannot make another one again below that",
    "criu/pstree.c, get_clone_mask",
    severity=Severity.UNRESTORABLE,
    hint="checkpoint the process that leads that namespace, by itself",
)
NO_INIT: Final = Rule(
    "pid-namespace-without-init",
    "pid namespace",
    "the root of the tree is not its first process",
    "criu/namespaces.c, do_dump_namespaces",
    hint="checkpoint pid 1 of that namespace, or checkpoint from inside it",
)
LEADER_OUTSIDE: Final = Rule(
    "session-outside",
    "session",
    "its leader is outside of its pid namespace",
    "criu/cr-dump.c, dump_one_task",
    hint="start the namespace's first process with `setsid`",
)
NO_MAPPED_ROOT: Final = Rule(
    "user-namespace-without-root",
    "user namespace",
    "it maps no user or group 0",
    "criu/namespaces.c, check_user_ns",
    hint="map one (`unshare --map-root-user`)",
)
OTHER_OWNER: Final = Rule(
    "namespace-of-other-owner",
    "namespace",
    "it belongs to another user namespace than the one the tree is in",
    "criu/namespaces.c, check_user_ns",
    hint="make the user namespace first, or all of them at once",
)
NO_PID_NAMESPACE: Final = Rule(
    "user-namespace-alone",
    "user namespace",
    "a tree in one needs a pid namespace of its own to be restored",
    "criu/cr-restore.c, mount_proc",
    severity=Severity.UNRESTORABLE,
    hint="start it with one (`unshare --user --pid --fork`)",
)
OTHERS_PROC: Final = Rule(
    "proc-of-others",
    "/proc",
    "it is that of another pid namespace, and a process in a user namespace cannot mount its own",
    "criu/pie/parasite.c, get_proc_fd",
    hint="mount one there (`unshare --mount-proc`)",
)
MOUNTS: Final = Rule(
    "mount-namespace",
    "mount namespace",
    "criu has to be told where the root of its mounts is",
    "criu/mount.c, prepare_mnt_ns",
    severity=Severity.UNRESTORABLE,
    option="root",
    hint=f"{_RUNTIME}; or {by_config('root DIR')}",
)
NO_ROOT_MOUNT: Final = Rule(
    "no-root-mount",
    "mount",
    "it shows a part of a file system that is not mounted as a whole there (a container's volume, say)",
    "criu/mount.c, validate_mounts",
    hint=f"{_RUNTIME}; or {by_config('external mnt[…]:…')}",
)
UNKNOWN_FILE_SYSTEM: Final = Rule(
    "file-system",
    "mount",
    "criu cannot mount that file system again",
    "criu/mount.c, validate_mounts; criu/filesystems.c",
    hint=f"{_RUNTIME}; or {by_config('external mnt[…]:…')}",
)
SHARED_WITH_OTHERS: Final = Rule(
    "mount-sharing",
    "mount",
    "it receives mounts from one outside of its namespace",
    "criu/mount.c, resolve_shared_mounts",
    severity=Severity.OPTION,
    option="enable-external-masters",
    then="it receives mounts from one outside of its namespace, and has to at the restore",
    hint=f"{_RUNTIME}; or {by_config('enable-external-masters')}",
)
TWICE: Final = Rule(
    "mounted-twice",
    "mount",
    "two file systems are mounted at that place",
    "criu/mount.c, validate_children_collision",
    hint="unmount one of them",
)
LOCKED: Final = Rule(
    "mount-locked",
    "mount",
    "something is mounted over it that cannot be unmounted in a user namespace",
    "criu/mount.c, umount_overmounts",
    hint="unmount one of them before the namespace is made",
)
NO_IP: Final = Rule(
    "no-ip-program",
    "network namespace",
    "criu saves it with the program `ip`, which is not installed",
    "criu/net.c, run_ip_tool",
    hint="install iproute2",
)
MAPPED_ROOT: Final = Rule(
    "mapped-root",
    "user namespace",
    "criu restores with the rights of its root, so the images are made readable to that root's group",
    "criu/cr-restore.c, prepare_userns_creds",
    severity=Severity.NOTE,
)
