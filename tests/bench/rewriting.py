"""A target of a known size that rewrites a known part of it whenever it is asked to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.criu.outliving import Outliving

_SCRIPT = """\
import mmap, os
area = mmap.mmap(-1, {size}, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area.madvise(mmap.MADV_NOHUGEPAGE)
pattern = os.urandom(1 << 20)
for at in range(0, {size}, len(pattern)):
    area[at : at + len(pattern)] = pattern
print("full", flush=True)
while os.read(0, 1):
    for at in range(0, {written}, len(pattern)):
        area[at : at + len(pattern)] = os.urandom(len(pattern))
    os.write(1, b"written\\n")
"""


@contextmanager
def rewriting_target(directory: Path, size_bytes: int, written_bytes: int) -> Iterator[Outliving]:
    """One that has filled its memory, in pages of 4 KiB; it writes when it is asked.

    Args:
        directory: for its script and its fifos.
        size_bytes: of its memory, whole MiB.
        written_bytes: how much it rewrites each time, whole MiB.
    """
    script = directory / "target.py"
    script.write_text(_SCRIPT.format(size=size_bytes, written=written_bytes))
    with Outliving(directory, script) as target:
        yield target
