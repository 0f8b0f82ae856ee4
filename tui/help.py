"""Help and command palette, both made from the bindings: what can be pressed is what is explained.

A binding of ours has an id "group.action" (`tui.keys`). The group decides under which heading it is
listed, the tooltip is the sentence that explains it. The bindings of widgets come last.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen

GROUPS: Final = {
    "pick": "Pick",
    "checkpoint": "Checkpoint",
    "tracking": "Tracking",
    "target": "Targets",
    "table": "Table",
    "panel": "Panels",
    "app": "Program",
}
_KEYS_OF_WIDGETS: Final = "Moving about"
_LEFT_OUT: Final = frozenset({"scroll_left", "scroll_right", "page_left", "page_right", "screen.copy_text"})
"""Actions that every scrolling widget of Textual has, and ours have no use for."""
_TEXTUALS_QUIT: Final = "ctrl+q"
"""It leaves as `q` does, which is listed."""
_PLAINLY: Final = {"app.focus_next": "The next panel or field", "app.focus_previous": "The one before"}
"""What Textual's own bindings do, in our words."""


@dataclass(frozen=True, slots=True)
class HelpEntry:
    """One thing that can be done."""

    keys: tuple[str, ...]
    """As they are shown."""
    text: str


def help_entries(screen: Screen[Any], app: App[Any]) -> dict[str, list[HelpEntry]]:
    """Everything that can be pressed on this screen as it is now, by heading."""
    keys: dict[tuple[str, str, str], list[str]] = {}
    for _, binding, _, tooltip in screen.active_bindings.values():
        text = _PLAINLY.get(binding.action) or tooltip or binding.tooltip or binding.description
        is_textuals = (binding.system and not binding.id) or binding.key == _TEXTUALS_QUIT
        if text and not is_textuals and binding.action not in _LEFT_OUT:
            shown = keys.setdefault((_heading(binding), binding.action, text), [])
            shown.append(_key_name(app, binding, is_first=not shown))
    entries: dict[str, list[HelpEntry]] = {}
    for heading in (*GROUPS.values(), _KEYS_OF_WIDGETS):
        listed = [HelpEntry(tuple(shown), text) for (of, _, text), shown in keys.items() if of == heading]
        if listed:
            entries[heading] = listed
    return entries


def command_entries(screen: Screen[Any], app: App[Any]) -> Iterator[SystemCommand]:
    """A palette entry for every action of ours that can be taken now."""
    seen = set()
    for node, binding, enabled, tooltip in screen.active_bindings.values():
        if not binding.id or not enabled or binding.action in seen:
            continue
        seen.add(binding.action)
        explained = tooltip or binding.tooltip
        # "CRIU" and the like stay as they are.
        first = explained[0].lower() if not explained[1:2].isupper() else explained[0]
        title = f"{binding.description}: {first}{explained[1:]}"
        yield SystemCommand(title, f"key {app.get_key_display(binding)}", _runner(app, node, binding))


def _runner(app: App[Any], node: DOMNode, binding: Binding) -> partial[Coroutine[Any, Any, bool]]:
    return partial(app.run_action, binding.action, node)


def _key_name(app: App[Any], binding: Binding, *, is_first: bool) -> str:
    # What a binding is shown as is meant for the first of its keys; the others have their own names.
    return app.get_key_display(binding if is_first else replace(binding, key_display=None))


def _heading(binding: Binding) -> str:
    group, _, _ = (binding.id or "").partition(".")
    return GROUPS.get(group, _KEYS_OF_WIDGETS)
