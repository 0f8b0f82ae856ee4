"""Holds one thing, and can be asked how it is: started by `COMMAND`, with a kind and a directory.

Standard library only. It answers "ok" once it has the thing, or "cannot: …" where this kernel has none; for
each line on standard input it then answers with what it is asked of the thing, if there is something to ask,
else with "ok".
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.targets.held import devices, files, mappings, namespaces, processes, settings, sockets
from tests.targets.held.things import ASKED, KINDS

__all__ = ["devices", "files", "mappings", "namespaces", "processes", "settings", "sockets"]

_PROJECT = str(Path(__file__).resolve().parents[3])
COMMAND = (
    "-c",
    f"import sys; sys.path.insert(0, {_PROJECT!r}); from tests.targets.held.main import main; main()",
)


def main() -> None:
    name = sys.argv[1]
    try:
        KINDS[name]()
    except OSError as error:
        print(f"cannot: {error}", flush=True)
        return
    print("ok", flush=True)
    while line := os.read(0, 1):
        if line == b"\n":
            answer = ASKED[name]() if name in ASKED else "ok"
            os.write(1, repr(answer).encode() + b"\n")
