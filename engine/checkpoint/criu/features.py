"""Which CRIU there is, and what it can do here: found by asking it, never by kernel version."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from engine.checkpoint.criu.client import NoAnswer, Worker
from engine.checkpoint.criu.log import find_cause
from engine.checkpoint.criu.obeyed import criu_environment
from engine.errors import NotPermitted, NotSupported
from engine.images.proto.rpc_pb2 import FEATURE_CHECK, VERSION, CriuFeatures, CriuReq, CriuResp
from engine.kernel.pagemap import Category, scan_knows
from engine.printable import printable
from engine.trust.environment import search_path
from engine.trust.files import find_program, require_program
from engine.trust.private import PrivateDirectory

VARIABLE: Final = "DIRTYTOP_CRIU"
"""Names the program where it is not the `criu` on PATH."""

# A user's PATH often lacks the directories where distributions put it.
_ALSO_LOOKED_IN: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")

_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Criu:
    """A CRIU that answers here."""

    program: Path
    version: tuple[int, int, int]
    why_not: str
    """Why it does nothing at all on this kernel, in words; empty if it works."""
    has_memory_tracking: bool
    """Whether it can make pre-dumps and links with a parent: whether the kernel has soft-dirty bits."""

    @property
    def version_text(self) -> str:
        """As in "4.1.1"."""
        major, minor, sublevel = self.version
        return f"{major}.{minor}.{sublevel}" if sublevel else f"{major}.{minor}"

    @property
    def has_single_pre_dump(self) -> bool:
        """Whether a pre-dump can be asked for alone (3.17)."""
        return self.version >= (3, 17, 0)

    @property
    def can_skip_network_lock(self) -> bool:
        """Whether a dump can leave the network alone (3.19)."""
        return self.version >= (3, 19, 0)

    @property
    def scans_pages(self) -> bool:
        """Whether it has the kernel list pages (`PAGEMAP_SCAN`, 4.0), and does not read pagemap itself."""
        return self.version >= (4, 0, 0) and scan_knows(Category.SOFT_DIRTY)

    @property
    def saves_guard_regions(self) -> bool:
        """Whether it knows of MADV_GUARD_INSTALL (4.2); before, it cannot dump such memory."""
        return self.version >= (4, 2, 0)

    def require_dump(self) -> None:
        """Make sure that it can dump and restore.

        Raises:
            NotSupported: it cannot here.
        """
        if self.why_not:
            raise NotSupported(
                f"criu {self.version_text} does not work on this kernel: {self.why_not}",
                hint=f"try a newer one, named in the variable {VARIABLE}",
            )

    def require_memory_tracking(self) -> None:
        """Make sure that it can make pre-dumps. Asked for one where it cannot, CRIU aborts in the target.

        Raises:
            NotSupported: it cannot here.
        """
        self.require_dump()
        if not self.has_memory_tracking:
            raise NotSupported(
                "criu makes no pre-dumps here: this kernel has no soft-dirty bits",
                hint="`--engine spliced` makes dirtytop's own pre-dumps; or make only the dump "
                "(`--pre-dumps 0`)",
            )


def find_criu() -> Path:
    """The program: what `DIRTYTOP_CRIU` names, or the `criu` on PATH and where it usually is.

    Raises:
        NotSupported: there is none.
        NotTrusted: we are root, and there is only one that others could exchange.
    """
    directories = (*search_path(os.environ), *_ALSO_LOOKED_IN)
    named = os.environ.get(VARIABLE)
    if named:
        try:
            found = require_program(Path(named)) if os.sep in named else find_program(named, directories)
        except OSError:
            found = None
        if found is None:
            raise NotSupported(
                f"{VARIABLE} names {printable(named)}, which is not a program", hint="name one, or unset it"
            )
        return found
    found = find_program("criu", directories)
    if found is None:
        raise NotSupported(
            "criu is not installed",
            hint=f"`apt install criu`, or name the program in the variable {VARIABLE}",
        )
    return found


def examine_criu(program: Path | None = None) -> Criu:
    """Ask CRIU for its version, and what it can do on this kernel; asked once for each program.

    Args:
        program: which one; None finds it.

    Raises:
        NotSupported: there is none, it cannot be run, or it does not answer.
        NotPermitted: we are not root.
        NotTrusted: others could exchange it, or what it obeys.
        LinkFailed: there is no place for it to work in.
    """
    path = program or find_criu()
    if os.geteuid() != 0:
        raise NotPermitted("criu has to run as root to checkpoint and restore", hint="run as root")
    try:
        require_program(path)
        changed_ns = path.stat().st_mtime_ns
    except OSError as error:
        raise NotSupported(
            f"{printable(str(path))} cannot be run ({os.strerror(error.errno or 0)})"
        ) from error
    return _ask(path, changed_ns)


@lru_cache
def _ask(program: Path, changed_ns: int) -> Criu:
    wanted = CriuFeatures(mem_track=True)
    with PrivateDirectory() as work, Worker(program, work.path) as worker:
        try:
            version = worker.ask(CriuReq(type=VERSION, keep_open=True), timeout_s=_TIMEOUT_S).version
        except NoAnswer as error:
            said = find_cause(b"", worker.stderr())
            raise NotSupported(
                f"{printable(str(program))}: {said.text if said else error.message}",
                hint="is it criu, and does `criu --version` work?",
            ) from error
        try:
            answer = worker.ask(
                CriuReq(type=FEATURE_CHECK, keep_open=True, features=wanted), timeout_s=_TIMEOUT_S
            )
        except NoAnswer:
            answer = CriuResp(type=FEATURE_CHECK, success=False)
    return Criu(
        program=program,
        version=(version.major_number, version.minor_number, version.sublevel),
        why_not="" if answer.success else _why_not(program),
        has_memory_tracking=answer.features.mem_track,
    )


def _why_not(program: Path) -> str:
    """What `criu check` complains of: the answer to a feature check does not say why it failed."""
    try:
        with PrivateDirectory() as work:  # it also looks at the directory that it is started in
            done = subprocess.run(
                [str(program), "check"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT_S,
                cwd=work.path,
                env=criu_environment(),
            )
    except (OSError, subprocess.TimeoutExpired):
        return "`criu check` does not run"
    said = find_cause(b"", done.stderr)
    return said.text if said else "`criu check` gives no reason"
