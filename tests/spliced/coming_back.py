"""A target that was killed with a spliced dump, and is restored from it."""

from __future__ import annotations

from pathlib import Path

from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.restore import restore
from engine.images.chain import read_chain, verify
from tests.criu.outliving import Outliving


def assert_it_comes_back(target: Outliving, directory: Path, criu: Criu) -> None:
    """The chain is sound, and what is restored from it finds itself as it was."""
    target.bury()
    assert verify(read_chain(directory)) == ()
    assert restore(directory, criu=criu).pid == target.pid
    assert target.ask() == "ok"
