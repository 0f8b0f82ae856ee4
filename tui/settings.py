"""What the dashboard remembers from one run to the next: a TOML file under XDG's config directory.

A file that cannot be read or makes no sense never keeps the program from starting: what is wrong is
said in one line, and the defaults hold.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import platformdirs

from engine.forecast.stop_budget import STOP_BUDGET_S
from engine.printable import printable
from engine.tracking.cost_budget import NO_BUDGET, CostBudget

APPLICATION: Final = "dirtytop"
INTERVALS_S: Final = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""What `+` and `-` go through."""
STOP_BUDGETS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""What `b` and `B` go through."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything remembered. An empty string means: not set."""

    theme: str = ""
    interval_s: float = 1.0
    vma_sort: str = ""
    """Column of the mappings table; led by "-" if it descends."""
    process_sort: str = ""
    process_tree: bool = True
    hot_only: bool = False
    show_chart: bool = True
    show_table: bool = True
    show_verdict: bool = True
    plot: str = "chart"
    """What stands in the chart's place: "chart", "heat" or "curve"."""
    show_chain: bool = True
    show_log: bool = True
    show_tour: bool = True
    """Whether nobody has been shown the tour, or told of it, yet."""
    stop_budget_s: float = STOP_BUDGET_S
    """How long a target may stop at the end of a chain."""
    cost_budget_percent: float = 2.0
    """How much of a core tracking may cost a target; 0: as much as it does."""
    engine: str = ""
    """The maker of chains: the last choice."""
    last_directory: str = ""
    """Where the last chain was made: the directory that holds the chains' directories."""

    @property
    def cost_budget(self) -> CostBudget:
        """What tracking may cost a target."""
        percent = self.cost_budget_percent
        return CostBudget.of(percent / 100) if percent else NO_BUDGET


def settings_path() -> Path:
    """Where the settings are kept."""
    return platformdirs.user_config_path(APPLICATION) / "settings.toml"


def checkpoints_path() -> Path:
    """Where chains go unless the user says otherwise."""
    return platformdirs.user_state_path(APPLICATION) / "checkpoints"


def load_settings(path: Path) -> tuple[Settings, str]:
    """The settings in `path`, and what is wrong with them in one line ("" if nothing is).

    A missing file is as good as an empty one. A value of the wrong type is left at its default;
    names we do not know are ignored, because a newer version may have written them.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Settings(), ""
    except OSError as error:
        return Settings(), printable(f"settings not read: {path}: {error.strerror}")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return Settings(), printable(f"settings ignored: {path}: {error}")
    return _checked(values, path)


def _checked(values: Mapping[str, object], path: Path) -> tuple[Settings, str]:
    settings = Settings()
    good: dict[str, Any] = {}
    wrong = []
    for field in fields(Settings):
        if field.name not in values:
            continue
        value = values[field.name]
        default = getattr(settings, field.name)
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(default) or not _is_sensible(field.name, value):
            wrong.append(field.name)
        else:
            good[field.name] = value
    problem = printable(f"settings: {path}: ignored {', '.join(wrong)}") if wrong else ""
    return replace(settings, **good), problem


def _is_sensible(name: str, value: object) -> bool:
    usual = {"interval_s": INTERVALS_S, "stop_budget_s": STOP_BUDGETS_S}.get(name)
    if name == "cost_budget_percent":
        return isinstance(value, float) and (value == 0.0 or 0.01 <= value <= 100.0)
    if usual is None or not isinstance(value, float):
        return True
    return usual[0] <= value <= usual[-1]  # false for NaN too


def save_settings(settings: Settings, path: Path) -> None:
    """Write the settings so that a reader sees the old file or the new one, never half of one.

    Raises:
        OSError: the directory cannot be made or written.
    """
    import tomli_w

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    values = {field.name: getattr(settings, field.name) for field in fields(Settings)}
    # mkstemp makes the file 0600.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            tomli_w.dump(values, file)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def next_above(usual: Sequence[float], value: float) -> float:
    """The next of some usual values above this one, or the last."""
    return next((each for each in usual if each > value), usual[-1])


def next_below(usual: Sequence[float], value: float) -> float:
    """The next of some usual values below this one, or the first."""
    return next((each for each in reversed(usual) if each < value), usual[0])
