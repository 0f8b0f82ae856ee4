from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CriuReqType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EMPTY: _ClassVar[CriuReqType]
    DUMP: _ClassVar[CriuReqType]
    RESTORE: _ClassVar[CriuReqType]
    CHECK: _ClassVar[CriuReqType]
    PRE_DUMP: _ClassVar[CriuReqType]
    PAGE_SERVER: _ClassVar[CriuReqType]
    NOTIFY: _ClassVar[CriuReqType]
    CPUINFO_DUMP: _ClassVar[CriuReqType]
    CPUINFO_CHECK: _ClassVar[CriuReqType]
    FEATURE_CHECK: _ClassVar[CriuReqType]
    VERSION: _ClassVar[CriuReqType]
    WAIT_PID: _ClassVar[CriuReqType]
    PAGE_SERVER_CHLD: _ClassVar[CriuReqType]
    SINGLE_PRE_DUMP: _ClassVar[CriuReqType]

class CriuPreDumpMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPLICE: _ClassVar[CriuPreDumpMode]
    VM_READ: _ClassVar[CriuPreDumpMode]

class CriuNetworkLockMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IPTABLES: _ClassVar[CriuNetworkLockMethod]
    NFTABLES: _ClassVar[CriuNetworkLockMethod]
    SKIP: _ClassVar[CriuNetworkLockMethod]

class CriuCgMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IGNORE: _ClassVar[CriuCgMode]
    CG_NONE: _ClassVar[CriuCgMode]
    PROPS: _ClassVar[CriuCgMode]
    SOFT: _ClassVar[CriuCgMode]
    FULL: _ClassVar[CriuCgMode]
    STRICT: _ClassVar[CriuCgMode]
    DEFAULT: _ClassVar[CriuCgMode]
EMPTY: CriuReqType
DUMP: CriuReqType
RESTORE: CriuReqType
CHECK: CriuReqType
PRE_DUMP: CriuReqType
PAGE_SERVER: CriuReqType
NOTIFY: CriuReqType
CPUINFO_DUMP: CriuReqType
CPUINFO_CHECK: CriuReqType
FEATURE_CHECK: CriuReqType
VERSION: CriuReqType
WAIT_PID: CriuReqType
PAGE_SERVER_CHLD: CriuReqType
SINGLE_PRE_DUMP: CriuReqType
SPLICE: CriuPreDumpMode
VM_READ: CriuPreDumpMode
IPTABLES: CriuNetworkLockMethod
NFTABLES: CriuNetworkLockMethod
SKIP: CriuNetworkLockMethod
IGNORE: CriuCgMode
CG_NONE: CriuCgMode
PROPS: CriuCgMode
SOFT: CriuCgMode
FULL: CriuCgMode
STRICT: CriuCgMode
DEFAULT: CriuCgMode

class CriuPageServerInfo(_message.Message):
    __slots__ = ("address", "port", "pid", "fd")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    FD_FIELD_NUMBER: _ClassVar[int]
    address: str
    port: int
    pid: int
    fd: int
    def __init__(self, address: _Optional[str] = ..., port: _Optional[int] = ..., pid: _Optional[int] = ..., fd: _Optional[int] = ...) -> None: ...

class CriuOpts(_message.Message):
    __slots__ = ("images_dir_fd", "pid", "leave_running", "ext_unix_sk", "tcp_established", "evasive_devices", "shell_job", "file_locks", "log_level", "log_file", "ps", "notify_scripts", "parent_img", "track_mem", "auto_dedup", "work_dir_fd", "link_remap", "rst_sibling", "external", "manage_cgroups_mode", "ghost_limit", "timeout", "tcp_skip_in_flight", "lazy_pages", "config_file", "tcp_close", "pre_dump_mode", "network_lock", "leave_stopped")
    IMAGES_DIR_FD_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    LEAVE_RUNNING_FIELD_NUMBER: _ClassVar[int]
    EXT_UNIX_SK_FIELD_NUMBER: _ClassVar[int]
    TCP_ESTABLISHED_FIELD_NUMBER: _ClassVar[int]
    EVASIVE_DEVICES_FIELD_NUMBER: _ClassVar[int]
    SHELL_JOB_FIELD_NUMBER: _ClassVar[int]
    FILE_LOCKS_FIELD_NUMBER: _ClassVar[int]
    LOG_LEVEL_FIELD_NUMBER: _ClassVar[int]
    LOG_FILE_FIELD_NUMBER: _ClassVar[int]
    PS_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_SCRIPTS_FIELD_NUMBER: _ClassVar[int]
    PARENT_IMG_FIELD_NUMBER: _ClassVar[int]
    TRACK_MEM_FIELD_NUMBER: _ClassVar[int]
    AUTO_DEDUP_FIELD_NUMBER: _ClassVar[int]
    WORK_DIR_FD_FIELD_NUMBER: _ClassVar[int]
    LINK_REMAP_FIELD_NUMBER: _ClassVar[int]
    RST_SIBLING_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_FIELD_NUMBER: _ClassVar[int]
    MANAGE_CGROUPS_MODE_FIELD_NUMBER: _ClassVar[int]
    GHOST_LIMIT_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    TCP_SKIP_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    LAZY_PAGES_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FILE_FIELD_NUMBER: _ClassVar[int]
    TCP_CLOSE_FIELD_NUMBER: _ClassVar[int]
    PRE_DUMP_MODE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_LOCK_FIELD_NUMBER: _ClassVar[int]
    LEAVE_STOPPED_FIELD_NUMBER: _ClassVar[int]
    images_dir_fd: int
    pid: int
    leave_running: bool
    ext_unix_sk: bool
    tcp_established: bool
    evasive_devices: bool
    shell_job: bool
    file_locks: bool
    log_level: int
    log_file: str
    ps: CriuPageServerInfo
    notify_scripts: bool
    parent_img: str
    track_mem: bool
    auto_dedup: bool
    work_dir_fd: int
    link_remap: bool
    rst_sibling: bool
    external: _containers.RepeatedScalarFieldContainer[str]
    manage_cgroups_mode: CriuCgMode
    ghost_limit: int
    timeout: int
    tcp_skip_in_flight: bool
    lazy_pages: bool
    config_file: str
    tcp_close: bool
    pre_dump_mode: CriuPreDumpMode
    network_lock: CriuNetworkLockMethod
    leave_stopped: bool
    def __init__(self, images_dir_fd: _Optional[int] = ..., pid: _Optional[int] = ..., leave_running: _Optional[bool] = ..., ext_unix_sk: _Optional[bool] = ..., tcp_established: _Optional[bool] = ..., evasive_devices: _Optional[bool] = ..., shell_job: _Optional[bool] = ..., file_locks: _Optional[bool] = ..., log_level: _Optional[int] = ..., log_file: _Optional[str] = ..., ps: _Optional[_Union[CriuPageServerInfo, _Mapping]] = ..., notify_scripts: _Optional[bool] = ..., parent_img: _Optional[str] = ..., track_mem: _Optional[bool] = ..., auto_dedup: _Optional[bool] = ..., work_dir_fd: _Optional[int] = ..., link_remap: _Optional[bool] = ..., rst_sibling: _Optional[bool] = ..., external: _Optional[_Iterable[str]] = ..., manage_cgroups_mode: _Optional[_Union[CriuCgMode, str]] = ..., ghost_limit: _Optional[int] = ..., timeout: _Optional[int] = ..., tcp_skip_in_flight: _Optional[bool] = ..., lazy_pages: _Optional[bool] = ..., config_file: _Optional[str] = ..., tcp_close: _Optional[bool] = ..., pre_dump_mode: _Optional[_Union[CriuPreDumpMode, str]] = ..., network_lock: _Optional[_Union[CriuNetworkLockMethod, str]] = ..., leave_stopped: _Optional[bool] = ...) -> None: ...

class CriuFeatures(_message.Message):
    __slots__ = ("mem_track", "lazy_pages", "pidfd_store")
    MEM_TRACK_FIELD_NUMBER: _ClassVar[int]
    LAZY_PAGES_FIELD_NUMBER: _ClassVar[int]
    PIDFD_STORE_FIELD_NUMBER: _ClassVar[int]
    mem_track: bool
    lazy_pages: bool
    pidfd_store: bool
    def __init__(self, mem_track: _Optional[bool] = ..., lazy_pages: _Optional[bool] = ..., pidfd_store: _Optional[bool] = ...) -> None: ...

class CriuReq(_message.Message):
    __slots__ = ("type", "opts", "notify_success", "keep_open", "features", "pid")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    OPTS_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_SUCCESS_FIELD_NUMBER: _ClassVar[int]
    KEEP_OPEN_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    type: CriuReqType
    opts: CriuOpts
    notify_success: bool
    keep_open: bool
    features: CriuFeatures
    pid: int
    def __init__(self, type: _Optional[_Union[CriuReqType, str]] = ..., opts: _Optional[_Union[CriuOpts, _Mapping]] = ..., notify_success: _Optional[bool] = ..., keep_open: _Optional[bool] = ..., features: _Optional[_Union[CriuFeatures, _Mapping]] = ..., pid: _Optional[int] = ...) -> None: ...

class CriuDumpResp(_message.Message):
    __slots__ = ("restored",)
    RESTORED_FIELD_NUMBER: _ClassVar[int]
    restored: bool
    def __init__(self, restored: _Optional[bool] = ...) -> None: ...

class CriuRestoreResp(_message.Message):
    __slots__ = ("pid",)
    PID_FIELD_NUMBER: _ClassVar[int]
    pid: int
    def __init__(self, pid: _Optional[int] = ...) -> None: ...

class CriuNotify(_message.Message):
    __slots__ = ("script", "pid")
    SCRIPT_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    script: str
    pid: int
    def __init__(self, script: _Optional[str] = ..., pid: _Optional[int] = ...) -> None: ...

class CriuVersion(_message.Message):
    __slots__ = ("major_number", "minor_number", "gitid", "sublevel", "extra", "name")
    MAJOR_NUMBER_FIELD_NUMBER: _ClassVar[int]
    MINOR_NUMBER_FIELD_NUMBER: _ClassVar[int]
    GITID_FIELD_NUMBER: _ClassVar[int]
    SUBLEVEL_FIELD_NUMBER: _ClassVar[int]
    EXTRA_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    major_number: int
    minor_number: int
    gitid: str
    sublevel: int
    extra: int
    name: str
    def __init__(self, major_number: _Optional[int] = ..., minor_number: _Optional[int] = ..., gitid: _Optional[str] = ..., sublevel: _Optional[int] = ..., extra: _Optional[int] = ..., name: _Optional[str] = ...) -> None: ...

class CriuResp(_message.Message):
    __slots__ = ("type", "success", "dump", "restore", "notify", "ps", "cr_errno", "features", "cr_errmsg", "version", "status")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DUMP_FIELD_NUMBER: _ClassVar[int]
    RESTORE_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_FIELD_NUMBER: _ClassVar[int]
    PS_FIELD_NUMBER: _ClassVar[int]
    CR_ERRNO_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    CR_ERRMSG_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    type: CriuReqType
    success: bool
    dump: CriuDumpResp
    restore: CriuRestoreResp
    notify: CriuNotify
    ps: CriuPageServerInfo
    cr_errno: int
    features: CriuFeatures
    cr_errmsg: str
    version: CriuVersion
    status: int
    def __init__(self, type: _Optional[_Union[CriuReqType, str]] = ..., success: _Optional[bool] = ..., dump: _Optional[_Union[CriuDumpResp, _Mapping]] = ..., restore: _Optional[_Union[CriuRestoreResp, _Mapping]] = ..., notify: _Optional[_Union[CriuNotify, _Mapping]] = ..., ps: _Optional[_Union[CriuPageServerInfo, _Mapping]] = ..., cr_errno: _Optional[int] = ..., features: _Optional[_Union[CriuFeatures, _Mapping]] = ..., cr_errmsg: _Optional[str] = ..., version: _Optional[_Union[CriuVersion, _Mapping]] = ..., status: _Optional[int] = ...) -> None: ...
