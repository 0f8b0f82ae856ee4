"""Rules about sockets."""

from __future__ import annotations

from typing import Final

from engine.preflight.finding import Rule, Severity
from engine.preflight.rules.wording import CLOSE_IT, NOT_SAVED, by_config

SOCKET_FAMILY: Final = Rule(
    "socket-family",
    "socket",
    "criu knows no socket of this kind",
    "criu/sockets.c, dump_socket",
    hint=CLOSE_IT,
)
SOCKET_PROTOCOL: Final = Rule(
    "socket-protocol",
    "socket",
    "criu does not know its protocol",
    "criu/sk-inet.c, can_dump_ipproto",
    hint=CLOSE_IT,
)
MPTCP: Final = Rule(
    "mptcp",
    "Multipath TCP",
    NOT_SAVED,
    "criu/sk-inet.c, can_dump_ipproto",
    hint="start it without (Go: GODEBUG=multipathtcp=0)",
)
PING_SOCKET: Final = Rule(
    "ping-socket",
    "ping socket",
    "criu before 4.2 saves none",
    "commit a80c54484",
    until=(4, 2, 0),
    hint="criu 4.2 can",
)
NETWORK_SOCKET: Final = Rule(
    "network-socket",
    "network socket",
    "criu before 4.2 asks it for an option that this kernel no longer tells (SO_PASSCRED, Linux 6.16)",
    "commit 4b7398595; net/core/sock.c, sk_getsockopt",
    until=(4, 2, 0),
    hint="criu 4.2 can",
)
NO_IPTABLES: Final = Rule(
    "no-iptables-program",
    "network",
    "criu holds packets off by `iptables` while it saves this, and a program of those is not installed",
    "criu/net.c, iptables_network_lock_internal; criu/netfilter.c, iptables_connection_switch_raw",
    hint="install iptables, or choose another `--network-lock`",
)
TCP_CONNECTION: Final = Rule(
    "tcp-connection",
    "TCP connection",
    "criu has to be told to save connections",
    "criu/sk-inet.c, can_dump_inet_sk",
    severity=Severity.OPTION,
    option="tcp-established",
    then="restored, its address has to be there, and the other end must not have given up",
    hint="`--tcp-established`",
)
TCP_CLOSED: Final = Rule(
    "tcp-closed",
    "TCP connection",
    "it is closed after a restore, since criu is told to (`tcp-close`)",
    "criu/sk-tcp.c, dump_one_tcp and restore_one_tcp",
    severity=Severity.LOST,
)
TCP_QUEUE: Final = Rule(
    "tcp-queue",
    "TCP connection",
    "it waits to be accepted",
    "criu/sk-inet.c, can_dump_inet_sk",
    severity=Severity.OPTION,
    option="skip-in-flight",
    then="connections that wait to be accepted are lost",
    hint=by_config("skip-in-flight"),
)
UNIX_STREAM: Final = Rule(
    "unix-stream",
    "unix connection",
    "its other end is not in the tree",
    "criu/sk-unix.c, __dump_external_socket",
    hint="checkpoint both ends together, or start it without (its output to a file, not to a journal)",
)
UNIX_DATAGRAMS: Final = Rule(
    "unix-datagrams",
    "unix socket",
    "its other end is not in the tree",
    "criu/sk-unix.c, __dump_external_socket",
    severity=Severity.OPTION,
    option="ext-unix-sk",
    then="its other end is not in the tree: restored, it is connected to whatever has that name then",
    hint="`--ext-unix-sk`",
)
UNIX_NAMELESS: Final = Rule(
    "unix-nameless",
    "unix socket",
    "its other end is not in the tree, and has no name by which to find it again",
    "criu/sk-unix.c, __dump_external_socket",
)
UNIX_NOT_ACCEPTED: Final = Rule(
    "unix-not-accepted",
    "unix connection",
    "the process that listens is not in the tree, and has not accepted it",
    "criu/sk-unix.c, dump_one_unix_fd",
    severity=Severity.UNRESTORABLE,
)
UNIX_QUEUE: Final = Rule(
    "unix-queue",
    "unix socket",
    "a connection that waits to be accepted has been closed by the other end",
    "commit dca55d281",
    since=(3, 18, 0),
    hint="have the program accept it",
)
NETLINK_DATA: Final = Rule(
    "netlink-data",
    "netlink socket",
    "it has unread messages",
    "criu/sk-netlink.c, can_dump_netlink_sk",
    hint="have the program read them",
)
NETLINK_GROUPS: Final = Rule(
    "netlink-groups",
    "netlink socket",
    "criu saves one with groups only if it has an address and at most 32 groups",
    "criu/sk-netlink.c, dump_one_netlink_fd",
    hint=CLOSE_IT,
)
