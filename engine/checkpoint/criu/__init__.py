"""The engine that calls CRIU; docs/criu.md tells how."""
