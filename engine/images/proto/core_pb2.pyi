from engine.images.proto import core_aarch64_pb2 as _core_aarch64_pb2
from engine.images.proto import core_x86_pb2 as _core_x86_pb2
from engine.images.proto import creds_pb2 as _creds_pb2
from engine.images.proto import ids_pb2 as _ids_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SeccompMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SECCOMP_DISABLED: _ClassVar[SeccompMode]
    SECCOMP_STRICT: _ClassVar[SeccompMode]
    SECCOMP_FILTER: _ClassVar[SeccompMode]
SECCOMP_DISABLED: SeccompMode
SECCOMP_STRICT: SeccompMode
SECCOMP_FILTER: SeccompMode

class TaskCoreEntry(_message.Message):
    __slots__ = ("task_state", "exit_code", "personality", "flags", "blk_sigset", "comm", "cg_set", "old_seccomp_mode", "old_seccomp_filter", "loginuid", "oom_score_adj", "child_subreaper", "blk_sigset_extended", "stop_signo", "membarrier_registration_mask")
    TASK_STATE_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    PERSONALITY_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    BLK_SIGSET_FIELD_NUMBER: _ClassVar[int]
    COMM_FIELD_NUMBER: _ClassVar[int]
    CG_SET_FIELD_NUMBER: _ClassVar[int]
    OLD_SECCOMP_MODE_FIELD_NUMBER: _ClassVar[int]
    OLD_SECCOMP_FILTER_FIELD_NUMBER: _ClassVar[int]
    LOGINUID_FIELD_NUMBER: _ClassVar[int]
    OOM_SCORE_ADJ_FIELD_NUMBER: _ClassVar[int]
    CHILD_SUBREAPER_FIELD_NUMBER: _ClassVar[int]
    BLK_SIGSET_EXTENDED_FIELD_NUMBER: _ClassVar[int]
    STOP_SIGNO_FIELD_NUMBER: _ClassVar[int]
    MEMBARRIER_REGISTRATION_MASK_FIELD_NUMBER: _ClassVar[int]
    task_state: int
    exit_code: int
    personality: int
    flags: int
    blk_sigset: int
    comm: str
    cg_set: int
    old_seccomp_mode: SeccompMode
    old_seccomp_filter: int
    loginuid: int
    oom_score_adj: int
    child_subreaper: bool
    blk_sigset_extended: int
    stop_signo: int
    membarrier_registration_mask: int
    def __init__(self, task_state: _Optional[int] = ..., exit_code: _Optional[int] = ..., personality: _Optional[int] = ..., flags: _Optional[int] = ..., blk_sigset: _Optional[int] = ..., comm: _Optional[str] = ..., cg_set: _Optional[int] = ..., old_seccomp_mode: _Optional[_Union[SeccompMode, str]] = ..., old_seccomp_filter: _Optional[int] = ..., loginuid: _Optional[int] = ..., oom_score_adj: _Optional[int] = ..., child_subreaper: _Optional[bool] = ..., blk_sigset_extended: _Optional[int] = ..., stop_signo: _Optional[int] = ..., membarrier_registration_mask: _Optional[int] = ...) -> None: ...

class ThreadSasEntry(_message.Message):
    __slots__ = ("ss_sp", "ss_size", "ss_flags")
    SS_SP_FIELD_NUMBER: _ClassVar[int]
    SS_SIZE_FIELD_NUMBER: _ClassVar[int]
    SS_FLAGS_FIELD_NUMBER: _ClassVar[int]
    ss_sp: int
    ss_size: int
    ss_flags: int
    def __init__(self, ss_sp: _Optional[int] = ..., ss_size: _Optional[int] = ..., ss_flags: _Optional[int] = ...) -> None: ...

class ThreadCoreEntry(_message.Message):
    __slots__ = ("futex_rla", "futex_rla_len", "sched_nice", "sched_policy", "sched_prio", "blk_sigset", "sas", "pdeath_sig", "creds", "seccomp_mode", "seccomp_filter", "comm", "blk_sigset_extended", "cg_set")
    FUTEX_RLA_FIELD_NUMBER: _ClassVar[int]
    FUTEX_RLA_LEN_FIELD_NUMBER: _ClassVar[int]
    SCHED_NICE_FIELD_NUMBER: _ClassVar[int]
    SCHED_POLICY_FIELD_NUMBER: _ClassVar[int]
    SCHED_PRIO_FIELD_NUMBER: _ClassVar[int]
    BLK_SIGSET_FIELD_NUMBER: _ClassVar[int]
    SAS_FIELD_NUMBER: _ClassVar[int]
    PDEATH_SIG_FIELD_NUMBER: _ClassVar[int]
    CREDS_FIELD_NUMBER: _ClassVar[int]
    SECCOMP_MODE_FIELD_NUMBER: _ClassVar[int]
    SECCOMP_FILTER_FIELD_NUMBER: _ClassVar[int]
    COMM_FIELD_NUMBER: _ClassVar[int]
    BLK_SIGSET_EXTENDED_FIELD_NUMBER: _ClassVar[int]
    CG_SET_FIELD_NUMBER: _ClassVar[int]
    futex_rla: int
    futex_rla_len: int
    sched_nice: int
    sched_policy: int
    sched_prio: int
    blk_sigset: int
    sas: ThreadSasEntry
    pdeath_sig: int
    creds: _creds_pb2.CredsEntry
    seccomp_mode: SeccompMode
    seccomp_filter: int
    comm: str
    blk_sigset_extended: int
    cg_set: int
    def __init__(self, futex_rla: _Optional[int] = ..., futex_rla_len: _Optional[int] = ..., sched_nice: _Optional[int] = ..., sched_policy: _Optional[int] = ..., sched_prio: _Optional[int] = ..., blk_sigset: _Optional[int] = ..., sas: _Optional[_Union[ThreadSasEntry, _Mapping]] = ..., pdeath_sig: _Optional[int] = ..., creds: _Optional[_Union[_creds_pb2.CredsEntry, _Mapping]] = ..., seccomp_mode: _Optional[_Union[SeccompMode, str]] = ..., seccomp_filter: _Optional[int] = ..., comm: _Optional[str] = ..., blk_sigset_extended: _Optional[int] = ..., cg_set: _Optional[int] = ...) -> None: ...

class CoreEntry(_message.Message):
    __slots__ = ("mtype", "thread_info", "tc", "ids", "thread_core", "ti_aarch64")
    class March(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[CoreEntry.March]
        X86_64: _ClassVar[CoreEntry.March]
        ARM: _ClassVar[CoreEntry.March]
        AARCH64: _ClassVar[CoreEntry.March]
        PPC64: _ClassVar[CoreEntry.March]
        S390: _ClassVar[CoreEntry.March]
        MIPS: _ClassVar[CoreEntry.March]
        LOONGARCH64: _ClassVar[CoreEntry.March]
        RISCV64: _ClassVar[CoreEntry.March]
    UNKNOWN: CoreEntry.March
    X86_64: CoreEntry.March
    ARM: CoreEntry.March
    AARCH64: CoreEntry.March
    PPC64: CoreEntry.March
    S390: CoreEntry.March
    MIPS: CoreEntry.March
    LOONGARCH64: CoreEntry.March
    RISCV64: CoreEntry.March
    MTYPE_FIELD_NUMBER: _ClassVar[int]
    THREAD_INFO_FIELD_NUMBER: _ClassVar[int]
    TC_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    THREAD_CORE_FIELD_NUMBER: _ClassVar[int]
    TI_AARCH64_FIELD_NUMBER: _ClassVar[int]
    mtype: CoreEntry.March
    thread_info: _core_x86_pb2.ThreadInfoX86
    tc: TaskCoreEntry
    ids: _ids_pb2.TaskKobjIdsEntry
    thread_core: ThreadCoreEntry
    ti_aarch64: _core_aarch64_pb2.ThreadInfoAarch64
    def __init__(self, mtype: _Optional[_Union[CoreEntry.March, str]] = ..., thread_info: _Optional[_Union[_core_x86_pb2.ThreadInfoX86, _Mapping]] = ..., tc: _Optional[_Union[TaskCoreEntry, _Mapping]] = ..., ids: _Optional[_Union[_ids_pb2.TaskKobjIdsEntry, _Mapping]] = ..., thread_core: _Optional[_Union[ThreadCoreEntry, _Mapping]] = ..., ti_aarch64: _Optional[_Union[_core_aarch64_pb2.ThreadInfoAarch64, _Mapping]] = ...) -> None: ...
