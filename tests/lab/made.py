"""Keeps a recipe beside each thing that was made: when the recipe changes, the thing is made again."""

from __future__ import annotations

import json
from pathlib import Path


def recipe_file(made: Path) -> Path:
    """Where the recipe lies of what was made."""
    return made.with_name(f"{made.name}.recipe")


def is_made(made: Path, recipe: object) -> bool:
    """Whether it was made, to the end, and by this very recipe."""
    noted = recipe_file(made)
    return made.exists() and noted.exists() and noted.read_text() == _text(recipe)


def note_made(made: Path, recipe: object) -> None:
    """Say that it was made, to the end."""
    recipe_file(made).write_text(_text(recipe))


def _text(recipe: object) -> str:
    return json.dumps(recipe, indent=1)
