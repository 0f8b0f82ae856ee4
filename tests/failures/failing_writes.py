"""Programs one of whose writes fails, or is short; what is preloaded is `tests/targets/failing_writes.c`."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.targets.compiled import compiled

SHORT: Final = -1
"""Instead of an errno: half of what was to be written is, and that is said."""

_STATE: Final = struct.Struct("=QQii32s32s256s256s256s")
_PRIVATE: Final = Path("/run/dirtytop")
"""Where CRIU's log and options are written."""
_PROJECT: Final = Path(__file__).parents[2]
_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True)
class Outcome:
    """Of a run with a failing call."""

    code: int
    complaints: str
    calls: int
    """That could have been the one, as far as it got."""
    failed: str
    """The call that did fail, of which program, and on what; empty if it was not reached."""
    path: Path

    @property
    def is_of_criu(self) -> bool:
        """Whether it was not one of ours."""
        return self.failed.startswith(("criu", "ld-linux"))


class FailingWrites:
    """Starts programs in which one call fails of those that change what is below a directory."""

    def __init__(self, directory: Path, below: Path) -> None:
        """Keep the state in `directory`."""
        self._library = compiled("failing_writes")
        self._state = directory / "failing-writes"
        self._below = below

    def run(self, number: int, code: int, *arguments: object) -> Outcome:
        """Run a module of ours to its end.

        Args:
            number: which call fails, from 1; 0 lets none fail.
            code: with which errno, or SHORT: then only calls that write are counted.
            arguments: the module, and what it is given.
        """
        places = (os.fsencode(self._below), os.fsencode(_PRIVATE))
        self._state.write_bytes(_STATE.pack(0, number, code, 0, b"", b"", b"", *places))
        preloaded = {"LD_PRELOAD": str(self._library), "FAILING_WRITES": str(self._state)}
        done = subprocess.run(
            [sys.executable, "-m", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=_PROJECT,
            env={**os.environ, **preloaded},
            timeout=_TIMEOUT_S,
        )
        calls, _, _, pid, *names = _STATE.unpack(self._state.read_bytes())
        call, program, path = (os.fsdecode(name.rstrip(b"\0")) for name in names[:3])
        failed = f"{program}: {call} of {path}" if pid else ""
        return Outcome(done.returncode, done.stderr, calls, failed, Path(path))
