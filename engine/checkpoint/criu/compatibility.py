"""Whether one CRIU can restore what another has dumped.

A newer one reads what an older one wrote; the other way round nobody promises anything. Up to 4.1 CRIU even
restores shared memory of a dump of 4.2 as zeros, and says that all went well: 4.2 writes how many
pages there are into a field that older ones do not know, and zero into theirs.
"""

from __future__ import annotations

import re
from typing import Final

from engine.checkpoint.criu.features import VARIABLE, Criu
from engine.checkpoint.sidecar import read_sidecar
from engine.errors import BadImage, NotSupported
from engine.images.link import Link
from engine.images.verify import Soundness
from engine.printable import printable

_NEW_LENGTHS: Final = (4, 2)
"""The CRIU that was the first to write, and to read, lengths of 64 bits."""


def require_not_older(criu: Criu, dump: Link, found: Soundness) -> None:
    """Make sure that a CRIU is not older than the one that made a dump.

    Args:
        criu: which is to restore it.
        dump: what to restore.
        found: what its chain was found to be.

    Raises:
        NotSupported: it is older.
    """
    made_by = _maker(dump)
    if found.lacks_old_lengths:
        made_by = max(made_by, _NEW_LENGTHS)
    if criu.version[: len(made_by)] < made_by:
        maker = ".".join(map(str, made_by))
        raise NotSupported(
            f"{printable(str(dump.path))} was made by criu {maker}: this one, {criu.version_text}, is older, "
            "and would restore wrong memory without noticing",
            hint=f"name criu {maker} or a newer one in the variable {VARIABLE}",
        )


def _maker(dump: Link) -> tuple[int, ...]:
    """Major and minor version of the CRIU that made a dump; nothing if the dump does not say."""
    try:
        sidecar = read_sidecar(dump.path)
    except BadImage:  # it adds to a dump that is complete without it
        return ()
    numbers = re.match(r"(\d{1,4})\.(\d{1,4})", sidecar.criu) if sidecar is not None else None
    return (int(numbers[1]), int(numbers[2])) if numbers else ()
