"""Every key of the two main screens, in the order of the footer; the help is made from these too."""

from __future__ import annotations

from typing import Final

from textual.binding import Binding


def key(
    keys: str,
    action: str,
    name: str,
    id: str,
    explained: str = "",
    *,
    footer: bool = False,
    shown: str = "",
    everywhere: bool = False,
) -> Binding:
    """A binding.

    Args:
        keys: Textual's names of the keys, with commas between.
        action: what is done.
        name: for the footer and the command palette.
        id: "group.action"; `tui.help.GROUPS` names the groups, and a keymap names keys by it.
        explained: one sentence for the help and the palette; the name, if that says it all.
        footer: whether the footer shows it.
        shown: what the key is shown as, where Textual's name for it is not what is printed on it.
        everywhere: whether it works in dialogs and while one types, too.
    """
    return Binding(
        keys,
        action,
        name,
        show=footer,
        key_display=shown or None,
        tooltip=explained or name,
        id=id,
        priority=everywhere,
    )


HELP: Final = key(
    "question_mark", "app.help", "Help", "app.help", "What can be pressed here", footer=True, shown="?"
)


APP: Final = [
    HELP,
    key("f1", "app.help", "Help", "app.help_anywhere", "What can be pressed here", everywhere=True),
    key("T", "tour", "Tour", "app.tour", "A tour of four cards"),
    key("q,ctrl+c", "quit", "Quit", "app.quit", "Leave dirtytop", footer=True, shown="q"),
    key("ctrl+p", "command_palette", "Menu", "app.palette", "Every command by name, and the themes"),
    key("ctrl+z", "suspend_process", "Suspend", "app.suspend", "Back to the shell; fg returns"),
]

PICK: Final = [
    key("w,enter", "watch", "Watch", "pick.watch", "Watch what is tagged, or this", footer=True, shown="⏎"),
    key("space", "tag", "Tag", "pick.tag", "Tag several; their descendants come along", footer=True),
    key("slash", "filter", "Filter", "table.filter", "Filter the processes", footer=True, shown="/"),
    key("t", "tree", "Tree", "pick.tree", "As a tree, or flat", footer=True),
    key("s,greater_than_sign", "sort(1)", "Sort", "table.sort_next", "Sort by the next column", footer=True),
    key("less_than_sign", "sort(-1)", "Sort back", "table.sort_previous", "Sort by the previous column"),
    key("I", "reverse_sort", "Reverse", "table.reverse", "Reverse the order"),
    key("U", "untag", "Untag all", "pick.untag"),
    key("escape", "back", "Back", "pick.back", "Clear the filter; back to the dashboard", footer=True),
]

WATCH: Final = [
    key("a", "arm", "Arm", "tracking.arm", "See every write; again: count from zero", footer=True),
    key("d", "pre_dump", "Pre-dump", "checkpoint.pre_dump", "Add a link of memory to the chain", footer=True),
    key("D", "dump", "Dump", "checkpoint.dump", "End the chain with a dump; asks first", footer=True),
    key(
        "w",
        "when",
        "When",
        "checkpoint.when",
        "Dump once it is quiet, or the stop is short",
        footer=True,
    ),
    key(
        "c",
        "cancel",
        "Cancel",
        "checkpoint.cancel",
        "Cancel the running link, or the trigger",
        footer=True,
    ),
    key("p", "pause", "Pause", "tracking.pause", "Freeze the view; sampling goes on", footer=True),
    key("v", "next_plot", "View", "panel.plot", "Rates, memory over time, or the curve", footer=True),
    key("slash", "filter", "Filter", "table.filter", "Filter the mappings", shown="/"),
    key("h", "hot_only", "Hot", "table.hot", "Only what was written in the last tick"),
    key("o", "pick", "Pick", "target.pick", "Watch another process as well", footer=True),
    key("m", "next_mode", "Mode", "tracking.mode", "Other mode: only read, or true rates"),
    key("plus,equals_sign", "longer", "Slower", "tracking.longer", "A longer interval", shown="+"),
    key("minus", "shorter", "Faster", "tracking.shorter", "A shorter interval", shown="-"),
    key(
        "b",
        "less_budget",
        "Shorter stop",
        "checkpoint.less_stop",
        "Allow only a shorter stop",
    ),
    key(
        "B",
        "more_budget",
        "Longer stop",
        "checkpoint.more_stop",
        "Allow a longer stop",
    ),
    key("W", "writers", "Who writes", "tracking.writers", "Which code writes this target, exactly"),
    key("l,enter", "links", "Links", "checkpoint.links", "The chain's links and what each saved"),
    key(
        "L",
        "maker_log",
        "CRIU's log",
        "checkpoint.maker_log",
        "What CRIU said of the last link, or failure",
    ),
    key("y", "copy_restore", "Copy restore", "checkpoint.copy", "Copy the command that restores the dump"),
    key("s,greater_than_sign", "sort(1)", "Sort", "table.sort_next", "Sort by the next column"),
    key("less_than_sign", "sort(-1)", "Sort back", "table.sort_previous", "Sort by the previous column"),
    key("I", "reverse_sort", "Reverse", "table.reverse", "Reverse the order"),
    key("escape", "clear_filter", "Clear filter", "table.clear", "Show every mapping again"),
    key("1", "toggle_panel('chart')", "Chart", "panel.chart", "Show or hide the chart"),
    key("2", "toggle_panel('table')", "Mappings", "panel.table", "Show or hide the mappings"),
    key("3", "toggle_panel('chain')", "Chain", "panel.chain", "Show or hide the chain"),
    key("4", "toggle_panel('log')", "Events", "panel.log", "Show or hide the events"),
    key("5", "toggle_panel('verdict')", "When to dump", "panel.verdict", "Show or hide the forecast"),
    key("e", "log", "All events", "panel.all_events", "The whole event log"),
    key(
        "z",
        "maximize_panel",
        "Maximize",
        "panel.maximize",
        "This panel alone, or all again",
    ),
    key("right_square_bracket", "turn(1)", "Next target", "target.next", shown="]"),
    key("left_square_bracket", "turn(-1)", "Previous target", "target.previous", shown="["),
    key("C", "compare", "Compare", "target.compare", "Two targets side by side"),
    key("x", "unwatch", "Stop watching", "target.leave", "Let this target go"),
]
