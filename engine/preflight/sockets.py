"""Sockets: which kinds CRIU knows, and in which states it can save them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Final

from engine.kernel.descriptors import OpenFile
from engine.kernel.sock_diag import CLOSED, ESTABLISHED, LISTENING, Socket
from engine.preflight.dumper import Dumper
from engine.preflight.facts import Process, Tree
from engine.preflight.finding import Seen
from engine.preflight.rules import files
from engine.preflight.rules import sockets as rules
from engine.printable import printable

_SOCKET: Final = b"socket:["
_NETWORK: Final = ("TCP", "TCPv6", "UDP", "UDPv6", "UDP-Lite", "UDPLITEv6", "RAW", "RAWv6", "PACKET")
_OTHERS: Final = ("UNIX", "UNIX-STREAM", "NETLINK", "")
"""Kinds that CRIU has, besides; none where the kernel does not say."""
_CLOSES_CONNECTIONS: Final = "tcp-close"
_MPTCP: Final = ("MPTCP", "MPTCPv6")
_PING: Final = ("PING", "PINGv6")
_TOO_NEW: Final = ("SCTP", "SCTPv6", "DCCP", "DCCPv6", "L2TP/IP", "L2TP/IPv6", "SMC", "SMC6")
_UNIX: Final = int(socket.AF_UNIX)
_INTERNET: Final = (int(socket.AF_INET), int(socket.AF_INET6))
_DATAGRAMS: Final = int(socket.SOCK_DGRAM)
_MOST_GROUPS: Final = 32


def look(process: Process, tree: Tree, dumper: Dumper) -> Iterator[Seen]:
    """What speaks against saving the sockets of this process."""
    for file in process.files:
        if not file.name.startswith(_SOCKET):
            continue
        yield from _kind(process, tree, file)
        found = tree.sockets.get(file.object_number)
        if found is None:
            continue
        if found.family in _INTERNET:
            yield from _internet(process, tree, dumper, file, found)
        elif found.family == _UNIX and f"unix[{found.inode}]" not in dumper.externals:
            yield from _unix(process, tree, file, found)
        elif found.family == int(socket.AF_NETLINK):
            yield from _netlink(process, file, found)
    for vma in process.vmas:
        if vma.raw_name.startswith(_SOCKET) and vma.inode not in tree.socket_numbers:
            yield Seen(files.MAPPED_SOCKET, process.pid, f"mapping {vma.start:x}", vma.name)


def _kind(process: Process, tree: Tree, file: OpenFile) -> Iterator[Seen]:
    protocol = file.protocol
    thing = f"descriptor {file.number}"
    if protocol in _NETWORK:
        if tree.kernel.hides_pass_credentials:
            yield Seen(rules.NETWORK_SOCKET, process.pid, thing, protocol)
    elif protocol in _MPTCP:
        yield Seen(rules.MPTCP, process.pid, thing)
    elif protocol in _PING:
        yield Seen(rules.PING_SOCKET, process.pid, thing)
        if tree.kernel.hides_pass_credentials:
            yield Seen(rules.NETWORK_SOCKET, process.pid, thing, protocol)
    elif protocol in _TOO_NEW:
        yield Seen(rules.SOCKET_PROTOCOL, process.pid, thing, protocol)
    elif protocol not in _OTHERS:
        yield Seen(rules.SOCKET_FAMILY, process.pid, thing, printable(protocol))


def _internet(process: Process, tree: Tree, dumper: Dumper, file: OpenFile, found: Socket) -> Iterator[Seen]:
    """criu/sk-inet.c, can_dump_inet_sk."""
    if file.protocol not in ("TCP", "TCPv6"):
        return
    thing = f"descriptor {file.number}"
    if found.state == LISTENING:
        if found.received:
            yield Seen(rules.TCP_QUEUE, process.pid, thing, f"{found.received} of them")
    elif found.state != CLOSED:
        if dumper.allows(_CLOSES_CONNECTIONS):
            yield Seen(rules.TCP_CLOSED, process.pid, thing)
            return
        yield Seen(rules.TCP_CONNECTION, process.pid, thing)
        is_locked = dumper.allows(rules.TCP_CONNECTION.option) and dumper.locks_by_iptables
        if is_locked and not tree.is_own("net") and not tree.kernel.has_iptables:
            yield Seen(rules.NO_IPTABLES, process.pid, thing)


def _unix(process: Process, tree: Tree, file: OpenFile, found: Socket) -> Iterator[Seen]:
    """criu/sk-unix.c, dump_one_unix_fd and __dump_external_socket."""
    thing = f"descriptor {file.number}"
    if found.state == LISTENING:
        if 0 in found.not_accepted:
            yield Seen(rules.UNIX_QUEUE, process.pid, thing)
    elif found.peer and not _is_in_tree(tree, found.peer):
        peer = tree.sockets.get(found.peer)
        if found.kind != _DATAGRAMS:
            yield Seen(rules.UNIX_STREAM, process.pid, thing)
        elif peer is not None and not peer.has_name:
            yield Seen(rules.UNIX_NAMELESS, process.pid, thing)
        else:
            yield Seen(rules.UNIX_DATAGRAMS, process.pid, thing)
    elif not found.peer and found.state == ESTABLISHED and found.kind != _DATAGRAMS:
        listener = next((each for each in tree.sockets.values() if found.inode in each.not_accepted), None)
        if listener is not None and listener.inode not in tree.socket_numbers:
            yield Seen(rules.UNIX_NOT_ACCEPTED, process.pid, thing)


def _is_in_tree(tree: Tree, number: int) -> bool:
    """Whether a socket is one of the tree's, or waits in the queue of one."""
    if number in tree.socket_numbers:
        return True
    return any(
        number in tree.sockets[each].not_accepted for each in tree.socket_numbers & tree.sockets.keys()
    )


def _netlink(process: Process, file: OpenFile, found: Socket) -> Iterator[Seen]:
    """criu/sk-netlink.c, dump_one_netlink_fd."""
    thing = f"descriptor {file.number}"
    if found.received:
        yield Seen(rules.NETLINK_DATA, process.pid, thing)
    if found.groups >> _MOST_GROUPS or (found.groups and not found.port):
        yield Seen(rules.NETLINK_GROUPS, process.pid, thing)
