from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DebugMapping(_message.Message):
    __slots__ = ("start", "end", "prot", "shared", "offset", "inode", "name", "dont_dump", "huge_pages", "device")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    PROT_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    INODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DONT_DUMP_FIELD_NUMBER: _ClassVar[int]
    HUGE_PAGES_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    prot: int
    shared: bool
    offset: int
    inode: int
    name: int
    dont_dump: bool
    huge_pages: bool
    device: bool
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ..., prot: _Optional[int] = ..., shared: _Optional[bool] = ..., offset: _Optional[int] = ..., inode: _Optional[int] = ..., name: _Optional[int] = ..., dont_dump: _Optional[bool] = ..., huge_pages: _Optional[bool] = ..., device: _Optional[bool] = ...) -> None: ...

class DebugProcess(_message.Message):
    __slots__ = ("coredump_filter", "auxv", "arg_start", "arg_end", "comm", "names", "mappings")
    COREDUMP_FILTER_FIELD_NUMBER: _ClassVar[int]
    AUXV_FIELD_NUMBER: _ClassVar[int]
    ARG_START_FIELD_NUMBER: _ClassVar[int]
    ARG_END_FIELD_NUMBER: _ClassVar[int]
    COMM_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    MAPPINGS_FIELD_NUMBER: _ClassVar[int]
    coredump_filter: int
    auxv: bytes
    arg_start: int
    arg_end: int
    comm: bytes
    names: _containers.RepeatedScalarFieldContainer[bytes]
    mappings: _containers.RepeatedCompositeFieldContainer[DebugMapping]
    def __init__(self, coredump_filter: _Optional[int] = ..., auxv: _Optional[bytes] = ..., arg_start: _Optional[int] = ..., arg_end: _Optional[int] = ..., comm: _Optional[bytes] = ..., names: _Optional[_Iterable[bytes]] = ..., mappings: _Optional[_Iterable[_Union[DebugMapping, _Mapping]]] = ...) -> None: ...

class RegisterSet(_message.Message):
    __slots__ = ("type", "data")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    type: int
    data: bytes
    def __init__(self, type: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class DebugThread(_message.Message):
    __slots__ = ("tid", "sets", "siginfo", "user_us", "system_us")
    TID_FIELD_NUMBER: _ClassVar[int]
    SETS_FIELD_NUMBER: _ClassVar[int]
    SIGINFO_FIELD_NUMBER: _ClassVar[int]
    USER_US_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_US_FIELD_NUMBER: _ClassVar[int]
    tid: int
    sets: _containers.RepeatedCompositeFieldContainer[RegisterSet]
    siginfo: bytes
    user_us: int
    system_us: int
    def __init__(self, tid: _Optional[int] = ..., sets: _Optional[_Iterable[_Union[RegisterSet, _Mapping]]] = ..., siginfo: _Optional[bytes] = ..., user_us: _Optional[int] = ..., system_us: _Optional[int] = ...) -> None: ...

class DebugEntry(_message.Message):
    __slots__ = ("process", "thread")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    THREAD_FIELD_NUMBER: _ClassVar[int]
    process: DebugProcess
    thread: DebugThread
    def __init__(self, process: _Optional[_Union[DebugProcess, _Mapping]] = ..., thread: _Optional[_Union[DebugThread, _Mapping]] = ...) -> None: ...
