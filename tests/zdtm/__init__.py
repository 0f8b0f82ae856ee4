"""CRIU's own tests (zdtm), with dirtytop in CRIU's place (docs/lab.md, "CRIU's own tests")."""
