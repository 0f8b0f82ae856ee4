"""Namespaces."""

from __future__ import annotations

from tests.targets.held.mappings import system_v_memory
from tests.targets.held.things import (
    CGROUP,
    HOSTNAME,
    IPC,
    MOUNTS,
    NETWORK,
    PIDS,
    TIME,
    USERS,
    child,
    kind,
    unshare,
)


@kind
def child_in_another_user_namespace() -> None:
    child(lambda: unshare(USERS))


@kind
def child_in_another_network() -> None:
    child(lambda: unshare(NETWORK))


@kind
def child_in_another_mount_namespace() -> None:
    child(lambda: unshare(MOUNTS))


@kind
def child_in_another_uts_namespace() -> None:
    child(lambda: unshare(HOSTNAME))


@kind
def child_in_another_ipc_namespace() -> None:
    child(lambda: unshare(IPC))


@kind
def child_in_another_cgroup_namespace() -> None:
    child(lambda: unshare(CGROUP))


@kind
def child_whose_children_have_another_time() -> None:
    child(lambda: unshare(TIME))


@kind
def child_in_another_pid_namespace() -> None:
    def go_there() -> None:
        unshare(PIDS)
        child()

    child(go_there)


@kind
def network_of_its_own() -> None:
    unshare(NETWORK)


@kind
def hostname_of_its_own() -> None:
    unshare(HOSTNAME)


@kind
def ipc_of_its_own() -> None:
    unshare(IPC)


@kind
def system_v_memory_in_ipc_of_its_own() -> None:
    unshare(IPC)
    system_v_memory()


@kind
def mounts_of_its_own_since_just_now() -> None:
    """What it has open, its program too, is on the mounts it had before."""
    unshare(MOUNTS)


@kind
def user_namespace_that_maps_nobody() -> None:
    unshare(USERS)


@kind
def network_that_belongs_to_other_users() -> None:
    unshare(NETWORK)
    unshare(USERS)
