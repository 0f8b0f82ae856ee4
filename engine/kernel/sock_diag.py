"""The sockets of a network namespace, with their states and other ends: sock_diag(7).

Of kinds that the kernel has no list of (AF_ALG, AF_VSOCK, …) nothing is found here.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.kernel.libc import checked, libc

_NETLINK_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20  # SOCK_DIAG_BY_FAMILY
_DONE: Final = 3  # NLMSG_DONE
_ERROR: Final = 2  # NLMSG_ERROR
_DUMP_REQUEST: Final = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_EVERY_STATE: Final = 0xFFFF_FFFF
_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_BUFFER: Final = 1 << 18
_CLONE_NEWNET: Final = 0x4000_0000

_UNIX_SHOWN: Final = 0x01 | 0x04 | 0x08 | 0x10  # names, peers, connections not accepted yet, queues
_NETLINK_SHOWN: Final = 0x01 | 0x02  # memory, groups
_NO_SUCH: Final = (errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP)

LISTENING: Final = 10
"""The state of a socket that waits for connections (TCP_LISTEN), of TCP and unix alike."""
ESTABLISHED: Final = 1
CLOSED: Final = 7


@dataclass(frozen=True, slots=True)
class Socket:
    """One socket."""

    inode: int
    family: int
    """AF_*."""
    kind: int
    """SOCK_*; 0 where the kernel does not say."""
    state: int
    """TCP_*, also for unix sockets."""
    received: int = 0
    """What waits to be read: bytes, or connections to be accepted."""
    peer: int = 0
    """Of a unix socket: the inode of the other end; 0 if there is none."""
    has_name: bool = False
    """Of a unix socket: whether it is bound."""
    not_accepted: tuple[int, ...] = ()
    """Of a listening unix socket: the inodes of the other ends of connections in its queue; 0 if closed."""
    port: int = 0
    """Of a netlink socket: its address; 0 if it has none."""
    groups: int = 0
    """Of a netlink socket: the groups it listens to, as a mask."""


def read_sockets(pid: int) -> dict[int, Socket]:
    """The sockets of the network namespace that a process is in, by inode.

    Looking into a namespace that is not ours needs CAP_SYS_ADMIN.

    Raises:
        OSError: the kernel refuses.
    """
    found: dict[int, Socket] = {}
    with _connection(pid) as connection:
        for request in _requests():
            for family, payload in _ask(connection, request):
                each = _PARSERS[family](payload)
                found[each.inode] = each
    found.pop(0, None)  # sockets that belong to no process any more
    return found


def _connection(pid: int) -> socket.socket:
    """A socket in a namespace, through which it can be asked; made by a thread that goes there."""
    if os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/thread-self/ns/net").st_ino:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
    made: list[socket.socket] = []
    failed: list[OSError] = []

    def go() -> None:
        try:
            descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                checked(libc.setns(descriptor, _CLONE_NEWNET))
            finally:
                os.close(descriptor)
            made.append(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=go, name="network namespace")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


def _requests() -> Iterator[bytes]:
    """One for each list that there is."""
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP, 136, socket.IPPROTO_RAW):
            yield struct.pack("=BBBBI48x", family, protocol, 0, 0, _EVERY_STATE)
    yield struct.pack("=BBHIII8x", socket.AF_UNIX, 0, 0, _EVERY_STATE, 0, _UNIX_SHOWN)
    yield struct.pack("=BBHII8x", socket.AF_NETLINK, 255, 0, 0, _NETLINK_SHOWN)
    yield struct.pack("=BBHII8x", socket.AF_PACKET, 0, 0, 0, 0)


def _ask(connection: socket.socket, request: bytes) -> Iterator[tuple[int, bytes]]:
    """The answers, as family and content."""
    connection.send(_HEADER.pack(_HEADER.size + len(request), _BY_FAMILY, _DUMP_REQUEST, 0, 0) + request)
    while True:
        data = connection.recv(_BUFFER)
        at = 0
        while at < len(data):
            length, kind, _, _, _ = _HEADER.unpack_from(data, at)
            if kind == _DONE:
                return
            if kind == _ERROR:
                (number,) = struct.unpack_from("=i", data, at + _HEADER.size)
                if -number in _NO_SUCH:  # no such list in this kernel
                    return
                raise OSError(-number, os.strerror(-number))
            payload = data[at + _HEADER.size : at + length]
            yield payload[0], payload
            at += (length + 3) & ~3


def _attributes(payload: bytes, at: int) -> dict[int, bytes]:
    found = {}
    while at + _ATTRIBUTE.size <= len(payload):
        length, kind = _ATTRIBUTE.unpack_from(payload, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind] = payload[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


def _internet(payload: bytes) -> Socket:
    """`struct inet_diag_msg`."""
    family, state = payload[0], payload[1]
    received, _, _, inode = struct.unpack_from("=IIII", payload, 56)
    return Socket(inode, family, 0, state, received)


def _unix(payload: bytes) -> Socket:
    """`struct unix_diag_msg`, and its attributes."""
    family, kind, state, _, inode = struct.unpack_from("=BBBBI", payload)
    attributes = _attributes(payload, 16)
    (peer,) = struct.unpack("=I", attributes.get(2, b"\0\0\0\0"))
    (received,) = struct.unpack_from("=I", attributes.get(4, b"\0\0\0\0"))
    queue = attributes.get(3, b"")
    return Socket(
        inode,
        family,
        kind,
        state,
        received,
        peer,
        has_name=bool(attributes.get(0)),
        not_accepted=struct.unpack(f"={len(queue) // 4}I", queue),
    )


def _netlink(payload: bytes) -> Socket:
    """`struct netlink_diag_msg`, and its attributes."""
    family, kind, _, state, port, _, _, inode = struct.unpack_from("=BBBBIIII", payload)
    attributes = _attributes(payload, 28)
    (received,) = struct.unpack_from("=I", attributes.get(0, b"\0\0\0\0"))
    groups = int.from_bytes(attributes.get(1, b""), "little")
    return Socket(inode, family, kind, state, received, port=port, groups=groups)


def _packet(payload: bytes) -> Socket:
    """`struct packet_diag_msg`."""
    family, kind, _, inode = struct.unpack_from("=BBHI", payload)
    return Socket(inode, family, kind, 0)


_PARSERS: Final = {
    int(socket.AF_INET): _internet,
    int(socket.AF_INET6): _internet,
    int(socket.AF_UNIX): _unix,
    int(socket.AF_NETLINK): _netlink,
    int(socket.AF_PACKET): _packet,
}
