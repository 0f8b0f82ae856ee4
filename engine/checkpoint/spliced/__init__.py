"""Restorable chains on every kernel: our memory, spliced into the dump that CRIU makes."""
