"""`python -m tests.bench [engine] [spliced] [dashboard] [forecast]`: everything, or the named parts."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path

from tests.bench import dashboard_figures, engine_figures, forecast_figures, spliced_figures
from tests.bench.figure import Figure

_PARTS = {
    "engine": engine_figures.measure,
    "spliced": spliced_figures.measure,
    "dashboard": dashboard_figures.measure,
    "forecast": forecast_figures.measure,
}


def main() -> None:
    """Measure, print each figure as it is known, write `bench.json`."""
    wanted = sys.argv[1:] or list(_PARTS)
    unknown = [name for name in wanted if name not in _PARTS]
    if unknown:
        sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join(_PARTS)}")
    figures: list[Figure] = []
    print(
        f"Linux {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}"
    )
    for name in wanted:
        for figure in _PARTS[name]():
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
