"""What CRIU is told when it makes a dump, and what it was built with: pre-flight judges by that.

It reads files of options by itself (criu/config.c). What our request says comes after those, and the file
that the user names after our request.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.obeyed import PLUGINS_VARIABLE, option_files
from engine.checkpoint.criu.options import CriuOptions, NetworkLock
from engine.preflight.dumper import GHOST_LIMIT_BYTES, NEWEST_KNOWN, Dumper

_PLUGINS: Final = ("/usr/lib/criu", "/usr/lib64/criu", "/usr/local/lib/criu")
_BPF_LIBRARY: Final = b"libbpf.so"
_ELF: Final = b"\x7fELF"

_SET_BY_US: Final = ("shell-job", "tcp-established", "ext-unix-sk", "file-locks")
"""What each request says: of all files only the one that the user names can say otherwise."""
_DEFAULT_LOCK: Final = NetworkLock.IPTABLES.value
_SIZE: Final = re.compile(r"(\d+)([KMG]?)")
_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30}


def dumper_of(criu: Criu | None, options: CriuOptions) -> Dumper:
    """The CRIU that would make a dump with these options, as pre-flight knows it.

    Args:
        criu: which one; None if there is none: then the newest that is known.
        options: what it is going to be told.
    """
    said = [each for path in option_files(os.environ) for each in _read(path) if each[0] not in _SET_BY_US]
    said += _requested(options, criu)
    if options.config_file is not None:
        said += _read(options.config_file)
    last: dict[str, str] = {}
    for name, value in said:
        last.pop(name.removeprefix("no-"), None)
        if not name.startswith("no-"):
            last[name] = value
    return Dumper(
        version=criu.version if criu is not None else NEWEST_KNOWN,
        options=frozenset(last),
        externals=frozenset(value for name, value in said if name == "external"),
        ghost_limit_bytes=_bytes_of(last.get("ghost-limit", "")),
        plugins=_plugins(last.get("libdir", "")),
        network_lock=last.get("network-lock", _DEFAULT_LOCK if criu is not None else NetworkLock.SKIP.value),
        has_bpf_maps=criu is not None and _has_bpf_maps(criu.program, criu.program.stat().st_mtime_ns),
    )


def _requested(options: CriuOptions, criu: Criu | None) -> Iterator[tuple[str, str]]:
    """What a request of ours says."""
    for name, is_on in zip(
        _SET_BY_US,
        (options.shell_job, options.tcp_established, options.ext_unix_sk, options.file_locks),
        strict=True,
    ):
        if is_on:
            yield name, ""
    if options.ghost_limit_bytes is not None:
        yield "ghost-limit", str(options.ghost_limit_bytes)
    lock = options.network_lock_of(criu) if criu is not None else options.network_lock
    if lock is not NetworkLock.AUTO:
        yield "network-lock", lock.value


def _read(path: Path) -> Iterator[tuple[str, str]]:
    """The options in a file, with what they are set to (criu.conf(5)); none where it cannot be read."""
    try:
        lines = path.read_bytes().decode("utf-8", "surrogateescape").split("\n")
    except OSError:
        return
    for line in lines:
        words = line.partition("#")[0].split(None, 1)
        if words:
            yield words[0], words[1].strip().strip('"') if len(words) > 1 else ""


def _bytes_of(size: str) -> int:
    found = _SIZE.match(size)
    return int(found[1]) << _UNITS[found[2]] if found else GHOST_LIMIT_BYTES


def _plugins(directory: str) -> frozenset[str]:
    """The names of those it would load."""
    named = directory or os.environ.get(PLUGINS_VARIABLE, "")
    found: set[str] = set()
    for place in (named,) if named else _PLUGINS:
        try:
            found |= {name.removesuffix(".so") for name in os.listdir(place) if name.endswith(".so")}
        except OSError:
            continue
    return frozenset(found)


@lru_cache
def _has_bpf_maps(program: Path, changed_ns: int) -> bool:
    """Whether it was linked with libbpf; of a script that starts another program that cannot be told."""
    try:
        content = program.read_bytes()
    except OSError:
        return False
    return content.startswith(_ELF) and _BPF_LIBRARY in content
