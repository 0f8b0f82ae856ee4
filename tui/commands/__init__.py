"""The commands, one module each; `tui.cli` imports only the one that was called.

Only the dashboard imports Textual: a script that calls `dirtytop watch` need not wait for it.
Each command returns its exit code; None is 0.
"""
