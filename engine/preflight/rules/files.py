"""Rules about what a process has open, except sockets."""

from __future__ import annotations

from typing import Final

from engine.preflight.finding import Rule, Severity
from engine.preflight.rules.wording import CLOSE_IT, NOT_SAVED, by_config

IO_URING: Final = Rule(
    "io-uring",
    "io_uring",
    NOT_SAVED,
    "criu/files.c, dump_one_file; criu/proc_parse.c, vma_get_mapfile",
    hint="start it without io_uring (node.js: UV_USE_IO_URING=0)",
)
KERNEL_OBJECT: Final = Rule(
    "kernel-object", "kernel object", NOT_SAVED, "criu/files.c, dump_one_file", hint=CLOSE_IT
)
USERFAULTFD: Final = Rule(
    "userfaultfd",
    "userfaultfd",
    f"{NOT_SAVED}, and dirtytop cannot track what it watches",
    "criu/files.c, dump_one_file; mm/userfaultfd.c",
    hint="have the program do without it",
)
BPF_MAP: Final = Rule(
    "bpf-map",
    "BPF map",
    "criu saves hash and array maps, and only if it was built with libbpf",
    "criu/files.c, CONFIG_HAS_LIBBPF; criu/bpfmap.c",
    hint=CLOSE_IT,
)
DEVICE: Final = Rule(
    "device", "device", "criu knows nothing of what is behind it", "criu/files.c, dump_chrdev", hint=CLOSE_IT
)
GPU: Final = Rule(
    "gpu",
    "GPU",
    "criu needs a plugin for it, and there is none here",
    "plugins/cuda (CRIU 4.0), plugins/amdgpu (3.16)",
    hint="install criu's cuda or amdgpu plugin",
)
GPU_PLUGIN: Final = Rule(
    "gpu-plugin",
    "GPU",
    "criu's plugin has to save it, which needs the driver's help, and takes long",
    "plugins/cuda, plugins/amdgpu",
    severity=Severity.NOTE,
)
SECRET_MEMORY: Final = Rule(
    "memfd-secret", "secret memory (memfd_secret)", NOT_SAVED, "criu/proc_parse.c, vma_get_mapfile"
)
HUGE_MEMFD: Final = Rule(
    "memfd-huge",
    "memfd of huge pages",
    "criu knows it only if it once saw a huge page free since the machine started, and none is free now",
    "criu/kerndat.c, kerndat_get_hugetlb_dev",
    hint="free one, or have one more: `sysctl vm.nr_hugepages`",
)
OTHER_MOUNT: Final = Rule(
    "mount-not-seen",
    "file of another mount",
    "it is on a mount that criu does not see from the root of the tree",
    "criu/files-reg.c, dump_one_reg_file",
    hint="reopen it where it is mounted; a program that has changed its mounts has to start another program",
)
OVERMOUNTED: Final = Rule(
    "overmounted",
    "hidden file",
    "something else is mounted over the mount it is on",
    "criu/files-reg.c, dump_one_reg_file",
    hint="unmount what hides it",
)
NAMESPACE_FILE: Final = Rule(
    "namespace-file",
    "namespace of others",
    "no process of the tree is in it",
    "criu/namespaces.c, dump_ns_file",
    hint=CLOSE_IT,
)
PIDFD: Final = Rule(
    "pidfd", "pidfd", "criu before 4.1 saves none", "commit 1ce408ffa", until=(4, 1, 0), hint="criu 4.1 can"
)
PIDFD_OUTSIDE: Final = Rule(
    "pidfd-outside",
    "pidfd",
    "it is of a process outside of the tree",
    "criu/pidfd.c, dump_one_pidfd",
    since=(4, 1, 0),
    hint=CLOSE_IT,
)
PIDFD_THREAD: Final = Rule(
    "pidfd-thread", "pidfd", "it is of a single thread", "criu/pidfd.c, dump_one_pidfd", since=(4, 1, 0)
)
DELETED_LARGE: Final = Rule(
    "deleted-file",
    "deleted file",
    "it is larger than what criu saves of deleted files",
    "criu/files-reg.c, dump_ghost_remap; what is not in holes counts since commit fbded7978 (3.18)",
    severity=Severity.OPTION,
    hint="`--ghost-limit` sets a higher limit; a program that was upgraded meanwhile has to be restarted",
)
DELETED_LINKED: Final = Rule(
    "deleted-name",
    "deleted name",
    "the file has other names, and criu has to give it a new one",
    "criu/files-reg.c, create_link_remap",
    severity=Severity.OPTION,
    option="link-remap",
    then="criu leaves a file `link_remap.N` beside it, which the restore needs",
    hint=by_config("link-remap"),
)
HIDDEN_NAME: Final = Rule(
    "hidden-name",
    "hidden file",
    "its name leads to another file",
    "criu/files-reg.c, check_path_remap",
    hint="unmount what hides it, or give it its name back",
)
LOCK: Final = Rule(
    "file-lock",
    "file lock",
    "criu has to be told that nobody else uses it",
    "criu/file-lock.c, dump_file_locks",
    severity=Severity.OPTION,
    option="file-locks",
    then="at restore nobody else may hold it",
    hint="`--file-locks`",
)
PACKET_PIPE: Final = Rule(
    "packet-pipe", "pipe of packets (O_DIRECT)", NOT_SAVED, "criu/pipes.c, dump_one_pipe", hint=CLOSE_IT
)
MANY_PIPES: Final = Rule(
    "many-pipes",
    "pipes",
    "criu saves at most 1,024 in a tree",
    "criu/include/pipes.h, NR_PIPES_WITH_DATA",
    hint="have the program close some",
)
HALF_PIPE: Final = Rule(
    "half-pipe",
    "pipe",
    "its other end is not in the tree, and is closed after a restore",
    "criu/pipes.c",
    severity=Severity.LOST,
)
EPOLL_TARGET: Final = Rule(
    "epoll-target",
    "epoll",
    "it watches a file that the process has closed, and that others have open",
    "criu/eventpoll.c, dump_one_eventpoll",
    hint="have the program take the file out of the epoll before it closes it",
)
FILE_WATCH: Final = Rule(
    "file-watch",
    "watch (inotify, fanotify)",
    "criu finds no path to what it watches",
    "criu/fsnotify.c, check_open_handle",
    hint="a line `force-irmap` with `irmap-scan-path` in a file for `--criu-config` may find it",
)
TUN: Final = Rule(
    "tun",
    "network device (tun)",
    "criu saves it only if the tree has a network namespace of its own",
    "criu/tun.c, dump_tunfile",
    hint="run the program in a network namespace of its own",
)
TERMINAL: Final = Rule(
    "terminal",
    "terminal",
    "the process that serves it is not in the tree",
    "criu/tty.c, tty_verify_active_pairs and dump_verify_tty_sids",
    severity=Severity.OPTION,
    option="shell-job",
    then="restored, it belongs to the terminal that restores it",
    hint="start it without a terminal (setsid, output to a file), or `--shell-job`",
)
TERMINALS: Final = Rule(
    "terminals",
    "terminals",
    "the processes that serve them are not in the tree, and criu can replace only one",
    "criu/tty.c, tty_verify_active_pairs",
    hint="start it without a terminal (setsid, output to a file)",
)
TERMINAL_NUMBER: Final = Rule(
    "terminal-number",
    "terminal",
    "its number is above 1,000, the highest that criu saves",
    "criu/tty.c, MAX_PTY_INDEX",
)
CONTROLLING_TERMINAL: Final = Rule(
    "controlling-terminal",
    "/dev/tty",
    "the process has not also opened its terminal by the terminal's own name",
    "criu/tty.c, tty_verify_ctty",
    hint="start it without a terminal (setsid, output to a file)",
)
MAPPED_SOCKET: Final = Rule(
    "mapped-socket", "mapped socket", "it has been closed", "criu/sk-packet.c, dump_socket_map"
)
NOT_LOOKED_AT: Final = Rule(
    "not-looked-at",
    "file of a server",
    "not checked, since the server may not answer",
    "engine/kernel/descriptors.py",
    severity=Severity.NOTE,
)
