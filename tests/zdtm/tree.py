"""A built tree of CRIU's sources: what of it is needed, and which tests it has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TREE_VARIABLE: Final = "DIRTYTOP_CRIU_TREE"
"""Names the tree."""

_FLAVOURS: Final = ("h", "ns", "uns")
_LISTED: Final = re.compile(r"zdtm/(?P<name>(?:static|transition)/\S+)")
_TO_LIST_S: Final = 120.0
_NEEDED_BY_ZDTM: Final = "import pycriu"


class NoTree(Exception):
    """There is no tree whose tests can be run; says why."""


@dataclass(frozen=True, slots=True)
class ZdtmTest:
    """One test program."""

    name: str
    """As in "static/env00"."""
    flavours: tuple[str, ...]
    """Where it may run: "h" on the host, "ns" in namespaces of its own, "uns" in a user namespace too."""
    flags: frozenset[str] = frozenset()

    @property
    def zdtm_name(self) -> str:
        """What zdtm calls it."""
        return f"zdtm/{self.name}"

    @property
    def must_not_be_dumped(self) -> bool:
        """Whether CRIU has to refuse it, and it has to go on as if nothing had been asked."""
        return "crfail" in self.flags


@dataclass(frozen=True, slots=True)
class Tree:
    """A built tree."""

    path: Path

    @property
    def criu(self) -> Path:
        """The program that was built in it."""
        return self.path / "criu/criu"

    @property
    def tests(self) -> Path:
        """Where zdtm is, and has to be started."""
        return self.path / "test"

    def list_tests(self) -> tuple[ZdtmTest, ...]:
        """All test programs that are built, by their names.

        Raises:
            NoTree: zdtm cannot list them.
        """
        try:
            done = subprocess.run(
                ["./zdtm.py", "list", "-i"],
                cwd=self.tests,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TO_LIST_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoTree(f"zdtm.py in {self.tests} cannot be run: {error}") from error
        found = [test for line in done.stdout.splitlines() if (test := _listed(line)) is not None]
        if done.returncode or not found:
            why = done.stderr.strip().rpartition("\n")[2] or "none are built"
            raise NoTree(f"zdtm.py in {self.tests} lists no tests: {why}")
        return tuple(sorted(found, key=lambda test: test.name))


def find_tree() -> Tree:
    """The tree that `DIRTYTOP_CRIU_TREE` names.

    Raises:
        NoTree: it names none, one that is not built, or zdtm cannot run here.
    """
    named = os.environ.get(TREE_VARIABLE, "")
    if not named:
        raise NoTree(f"{TREE_VARIABLE} names no built tree of CRIU's sources")
    tree = Tree(Path(named).absolute())
    for path in (tree.criu, tree.tests / "zdtm.py"):
        if not os.access(path, os.X_OK):
            raise NoTree(f"{tree.path} is no built tree of CRIU's sources: there is no {path}")
    if os.geteuid() != 0:
        raise NoTree("CRIU's tests need root")
    python = shutil.which("python3") or "not there"
    command = [python, "-c", _NEEDED_BY_ZDTM]
    if subprocess.run(command, cwd=tree.tests, capture_output=True).returncode:
        raise NoTree(
            f"the python3 on PATH, {python}, cannot import pycriu in {tree.tests}: zdtm needs one with "
            "protobuf and yaml, and the tree built whole"
        )
    return tree


def _listed(line: str) -> ZdtmTest | None:
    """What a line of `zdtm.py list -i` says: a name, then flavours unless it may run in each, then flags."""
    match = _LISTED.match(line)
    if match is None:
        return None
    words = line[match.end() :].split()
    flavours = tuple(word for word in words if word in _FLAVOURS)
    flags = frozenset(word for word in words if word not in _FLAVOURS)
    return ZdtmTest(match["name"], flavours or _FLAVOURS, flags)
