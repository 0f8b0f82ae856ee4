"""The commands, a module each; `tui.cli` imports the one that is asked for.

None but the dashboard imports Textual: a script that calls `dirtytop watch` does not wait for it.
Each command returns its exit code; None is 0.
"""
