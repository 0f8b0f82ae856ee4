"""`python -m tests.bench [PART…]`: measure everything, or the named parts."""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from pathlib import Path

from tests.bench.figure import Figure
from tests.home import leave_the_users_home

_PARTS = ("engine", "copying", "pre_dump", "spliced", "core", "harm", "dashboard", "forecast", "who")
"""Each is a module; a guest of the lab has not the packages that all of them need."""


def main() -> None:
    """Measure, print each figure as it is known, write `bench.json`."""
    wanted = sys.argv[1:] or _PARTS
    unknown = [name for name in wanted if name not in _PARTS]
    if unknown:
        sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join(_PARTS)}")
    leave_the_users_home()
    figures: list[Figure] = []
    print(
        f"Linux {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}"
    )
    for name in wanted:
        for figure in importlib.import_module(f"tests.bench.{name}_figures").measure():
            figures.append(figure)
            print(_line(figure), flush=True)
    Path("bench.json").write_text(json.dumps([figure.as_json() for figure in figures], indent=1) + "\n")


def _line(figure: Figure) -> str:
    sign = "≤" if figure.better == "lower" else "≥"
    verdict = "reached" if figure.reached else "MISSED"
    value = f"{figure.value:9.2f} {figure.unit}"
    reach = f"{sign} {figure.reach:g} {figure.unit}"
    detail = f"  ({figure.detail})" if figure.detail else ""
    return f"{figure.name:<66} {value:<16} {reach:<12} {verdict}, median of {figure.runs}{detail}"


if __name__ == "__main__":
    main()
