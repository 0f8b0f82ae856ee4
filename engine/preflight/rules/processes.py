"""Rules about processes, and about what is mapped in them."""

from __future__ import annotations

from typing import Final

from engine.preflight.finding import Part, Rule, Severity
from engine.preflight.rules.wording import CLOSE_IT, NOT_SAVED, by_config

# -- mappings

GUARD_REGION: Final = Rule(
    "guard-region",
    "guard region (MADV_GUARD_INSTALL)",
    "criu before 4.2 cannot read around it; glibc 2.42 has one in every thread's stack",
    "commit cc047d595; mm/madvise.c, madvise_guard_install",
    until=(4, 2, 0),
    hint="criu 4.2 can",
)
KERNEL_MAPPING: Final = Rule(
    "kernel-mapping", "mapping", NOT_SAVED, "criu/proc_parse.c, vma_get_mapfile", hint=CLOSE_IT
)
DEVICE_MAPPING: Final = Rule(
    "device-mapping",
    "mapped device",
    "criu knows nothing of what is behind it",
    "criu/proc_parse.c, handle_vma",
    hint=CLOSE_IT,
)
SYSV_MEMORY: Final = Rule(
    "sysv-memory",
    "System V shared memory",
    "criu saves it only if the tree has an IPC namespace of its own",
    "criu/cr-dump.c, check_sysvipc_map_dump",
    hint="run the program in an IPC namespace of its own (`unshare --ipc`)",
)
UPROBES: Final = Rule(
    "uprobes",
    "uprobes",
    "somebody traces its functions, and criu before 4.2 cannot save such a process",
    "commit bab72af9a",
    until=(4, 2, 0),
    hint="end the tracing (perf, bpftrace, …), and start the program again",
)
UPROBES_ALLOWED: Final = Rule(
    "uprobes-allowed",
    "uprobes",
    "somebody traces its functions",
    "commit bab72af9a",
    since=(4, 2, 0),
    severity=Severity.OPTION,
    option="allow-uprobes",
    then="somebody traces its functions, and has to at the restore",
    hint=by_config("allow-uprobes"),
)
SHADOW_STACK: Final = Rule(
    "shadow-stack",
    "shadow stack",
    "criu before 4.0 saves none",
    "commit a48aa33ea",
    until=(4, 0, 0),
    hint="a newer criu can",
)
SHARED_OUTSIDE: Final = Rule(
    "shared-outside",
    "shared memory",
    "a process outside of the tree has it too: restored, it is shared within the tree only",
    "criu/memfd.c, criu/shmem.c",
    severity=Severity.LOST,
)

# -- processes

NOT_PERMITTED: Final = Rule(
    "not-permitted",
    "access",
    "dirtytop is not permitted to look into it",
    "kernel/ptrace.c, __ptrace_may_access",
    part=Part.BOTH,
    hint="run as root, with CAP_SYS_PTRACE",
)
TRACED: Final = Rule(
    "traced",
    "traced process",
    "it has a tracer, and can have only one",
    "kernel/ptrace.c, ptrace_attach; compel/src/lib/infect.c, compel_interrupt_task",
    part=Part.BOTH,
    hint="end the debugger, strace, or whatever traces it",
)
LEADER_EXITED: Final = Rule(
    "leader-exited",
    "process without its first thread",
    "its first thread has ended, and others run on",
    "criu/seize.c, collect_threads",
    part=Part.BOTH,
)
SHARED_ADDRESS_SPACE: Final = Rule(
    "shared-address-space",
    "shared address space",
    "it shares all its memory with its parent",
    "criu/cr-dump.c, dump_task_kobj_ids",
    hint="if it is a child that is about to start a program (vfork), try again",
)
SHARED_DIRECTORIES: Final = Rule(
    "shared-directories",
    "shared working directory",
    "it shares its working directory with its parent (CLONE_FS)",
    "criu/cr-dump.c, dump_task_kobj_ids",
)
UNSTOPPABLE: Final = Rule(
    "unstoppable",
    "unstoppable thread",
    "it waits in the kernel for something that does not come, and cannot be stopped there",
    "compel/src/lib/infect.c, compel_wait_task",
    hint="see what it waits for (`/proc/PID/stack`); `--freeze-timeout` waits longer",
)
PENDING_SIGTRAP: Final = Rule(
    "pending-sigtrap",
    "signal",
    "a SIGTRAP waits to be delivered, and criu needs that signal itself",
    "commit 61c7cc5a9 (3.16)",
    since=(3, 16, 0),
)
IGNORED_SIGTRAP: Final = Rule(
    "ignored-sigtrap",
    "signal",
    "it ignores SIGTRAP, but no longer after a dump or pre-dump by criu: the next SIGTRAP ends it",
    "kernel/signal.c, force_sig_info_to_task",
    severity=Severity.NOTE,
)
CONFINED: Final = Rule(
    "seccomp-confined",
    "seccomp",
    "it has a filter, and criu may not lift it because dirtytop, and so criu, runs under one too",
    "kernel/ptrace.c, check_ptrace_options",
    hint="run dirtytop where it has none: outside of the container, or with `seccomp=unconfined`",
)
LIMITS: Final = Rule(
    "limits",
    "resource limits",
    "another user's can be read only with CAP_SYS_RESOURCE, which dirtytop lacks",
    "kernel/sys.c, check_prlimit_permission; criu/cr-dump.c, dump_task_rlimits",
    hint="run dirtytop with CAP_SYS_RESOURCE",
)
DEADLINE: Final = Rule(
    "deadline",
    "deadline scheduling",
    "criu does not save its parameters, and the restore fails without them",
    "criu/cr-dump.c, dump_sched_info",
    severity=Severity.UNRESTORABLE,
    hint="`chrt --other --pid 0 PID` before the dump",
)
SETTING: Final = Rule(
    "setting",
    "setting",
    "criu does not save it: restored, it is that of the restoring process",
    "criu/cr-dump.c, dump_sched_info; images/core.proto",
    severity=Severity.LOST,
)
NO_NEW_PRIVILEGES: Final = Rule(
    "no-new-privileges",
    "no_new_privs",
    "criu before 3.19 does not save it: restored, the process can gain privileges",
    "commit a605cc9f3",
    severity=Severity.LOST,
    until=(3, 19, 0),
)
AMBIENT_CAPABILITIES: Final = Rule(
    "ambient-capabilities",
    "ambient capabilities",
    "criu before 4.1 does not save them",
    "commit 6f8efad30",
    severity=Severity.LOST,
    until=(4, 1, 0),
)
SECURITY_LABEL: Final = Rule(
    "security-label",
    "security module",
    "after a restore it is confined as now only where that profile is loaded",
    "criu/lsm.c",
    severity=Severity.NOTE,
)
STOPPED: Final = Rule(
    "stopped",
    "stopped process",
    "pre-dumps by `--engine criu` leave it out; the dump holds it, and it is restored stopped",
    "criu/cr-dump.c, pre_dump_one_task",
    severity=Severity.NOTE,
)

# -- sessions

SESSION: Final = Rule(
    "session",
    "session",
    "it is not the leader of its session: it belongs to a shell or a terminal",
    "criu/pstree.c, dump_pstree",
    severity=Severity.OPTION,
    option="shell-job",
    then="restored, it belongs to the session that restores it",
    hint="`--shell-job`, or start it with `setsid`",
)
LEFT_BEHIND: Final = Rule(
    "left-behind",
    "left behind",
    "it is in the same session but not a descendant, and so not part of the checkpoint",
    "criu/seize.c, collect_children",
    severity=Severity.LOST,
    part=Part.BOTH,
)
