"""Choosing a directory in a tree."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, DirectoryTree, Static
from textual.widgets.directory_tree import DirEntry
from textual.widgets.tree import TreeNode

from engine.printable import printable


class _Directories(DirectoryTree):
    """Directories only, their names made fit for a terminal."""

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        return (path for path in paths if path.is_dir() and not path.is_symlink())

    def render_label(self, node: TreeNode[DirEntry], base_style: Style, style: Style) -> Text:
        name = printable(str(node.label.plain if isinstance(node.label, Text) else node.label))
        mark = "▾ " if node.is_expanded else "▸ "
        return Text.assemble((mark, base_style), (name, style))


class BrowseScreen(ModalScreen[Path | None]):
    """Gives the directory under which a new one is to be made, or None.

    Args:
        path: where the user is now; the tree opens at the nearest directory that exists.
    """

    AUTO_FOCUS = "_Directories"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("backspace,left", "up", "Parent directory"),
        Binding("ctrl+s", "choose", "Choose"),
    ]

    def __init__(self, path: Path) -> None:
        super().__init__()
        parents = path.parents if path.is_absolute() else Path.home().joinpath(path).parents
        self._root = next(each for each in parents if each.is_dir())

    def compose(self) -> ComposeResult:
        """The tree, and what is chosen in it."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content("make the chain's directory in …")
            dialog.border_subtitle = Content("Enter opens · Backspace goes up · Ctrl+S chooses")
            yield Static(printable(str(self._root)), markup=False, id="chosen")
            yield _Directories(self._root)
            with Horizontal(classes="buttons"):
                yield Button(Content("Cancel"), id="cancel", compact=True)
                yield Button(Content("Choose"), id="choose", compact=True)

    @property
    def _chosen(self) -> Path:
        node = self.query_one(_Directories).cursor_node
        return node.data.path if node is not None and node.data is not None else self._root

    @on(_Directories.NodeHighlighted)
    def _highlighted(self) -> None:
        self.query_one("#chosen", Static).update(printable(str(self._chosen)))

    def action_up(self) -> None:
        """Open the tree one directory further up."""
        self._root = self._root.parent
        self.query_one(_Directories).path = self._root
        self.query_one("#chosen", Static).update(printable(str(self._root)))

    @on(Button.Pressed, "#choose")
    def action_choose(self) -> None:
        """Take the directory under the cursor."""
        self.dismiss(self._chosen)

    @on(Button.Pressed, "#cancel")
    def _cancelled(self) -> None:
        self.dismiss(None)
