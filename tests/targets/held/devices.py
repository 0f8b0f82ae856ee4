"""Devices and terminals."""

from __future__ import annotations

import mmap
import os

from tests.targets.held.things import call, here, hold, kind, memory


def _device(name: str) -> None:
    hold(os.open(f"/dev/{name}", os.O_RDWR))


@kind
def dev_null() -> None:
    _device("null")


@kind
def dev_null_of_a_detached_mount() -> None:
    tree = call("open_tree", -100, b"/dev", 1 | os.O_CLOEXEC)
    hold(os.open("null", os.O_RDWR, dir_fd=tree))
    os.close(tree)


@kind
def dev_full() -> None:
    _device("full")


@kind
def dev_random() -> None:
    _device("random")


@kind
def dev_fuse() -> None:
    _device("fuse")


@kind
def dev_net_tun() -> None:
    _device("net/tun")


@kind
def dev_loop_control() -> None:
    _device("loop-control")


@kind
def dev_loop0() -> None:
    hold(os.open("/dev/loop0", os.O_RDONLY))


@kind
def dev_zero_mapped() -> None:
    hold(memory(4, mmap.MAP_PRIVATE, os.open("/dev/zero", os.O_RDWR)))


@kind
def pseudo_terminal() -> None:
    hold(*os.openpty())


@kind
def terminal_that_was_closed() -> None:
    master, slave = os.openpty()
    os.close(master)
    hold(slave)


def _outside_terminals() -> list[str]:
    return (here() / "terminals").read_text().split()


@kind
def terminal_of_outside() -> None:
    hold(os.open(_outside_terminals()[0], os.O_RDWR | os.O_NOCTTY))


@kind
def two_terminals_of_outside() -> None:
    hold(*(os.open(name, os.O_RDWR | os.O_NOCTTY) for name in _outside_terminals()))


@kind
def its_own_terminal_by_another_name() -> None:
    terminal = os.open(_outside_terminals()[0], os.O_RDWR)  # a session leader's first is its own
    hold(os.open("/dev/tty", os.O_RDWR))
    os.close(terminal)
