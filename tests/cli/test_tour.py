"""`dirtytop demo tour` in a pipe: the whole story, told in lines."""

from __future__ import annotations

import re
from pathlib import Path

from engine.checkpoint.criu.features import examine_criu
from engine.errors import DirtytopError
from tests.cli.shell import Shell


def test_it_tells_each_phase_and_dumps_in_the_lull(shell: Shell, tmp_path: Path) -> None:
    lines = shell.succeeds("demo", "tour", "--dir", tmp_path / "kept").splitlines()
    told = [line.split("]")[0].removeprefix("[") for line in lines if line.startswith("[")]
    assert list(dict.fromkeys(told)) == ["steady", "burst", "quiet", "growing"]
    (burst,) = (at for at, line in enumerate(lines) if line.startswith("[burst]"))
    (dumped,) = (at for at, line in enumerate(lines) if re.match(r"dump \d:", line))
    assert lines.index("[quiet] nothing is written") < dumped
    assert any(line.startswith("  dump: quiet for ") for line in lines)
    assert any("pre-dump once" in line or "dump now" in line for line in lines[:burst]), "a forecast"
    assert any(line.startswith("verified: ") for line in lines)
    shell.succeeds("verify", tmp_path / "kept")
    try:
        examine_criu().require_dump()
    except DirtytopError:
        return
    assert any("goes on where it was" in line for line in lines)
