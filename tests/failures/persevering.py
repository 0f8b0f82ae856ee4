"""Makes a chain, and tries every step that fails once again: `persevering PID DIRECTORY ENGINE`, as a module.

In the end the target is stopped, for its memory to be compared with the chain's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from engine.checkpoint.engines import open_chain
from engine.checkpoint.link import After, Engine
from engine.errors import LinkFailed
from engine.tracking.session import Session

T = TypeVar("T")


def persevere(step: Callable[[], T]) -> T:
    """Take a step; if it fails, once more."""
    try:
        return step()
    except LinkFailed as error:
        print(error.message, error.hint, sep="\n", file=sys.stderr)
        return step()


def main() -> None:
    pid, directory, engine = int(sys.argv[1]), Path(sys.argv[2]), Engine(sys.argv[3])
    with Session(pid) as session:
        chain = persevere(lambda: open_chain(engine, session, directory, checked=False))
        try:
            if engine is not Engine.CRIU:
                persevere(chain.pre_dump)
                persevere(chain.pre_dump)
            persevere(lambda: chain.dump(After.STOP))
        finally:
            chain.close()


if __name__ == "__main__":
    main()
