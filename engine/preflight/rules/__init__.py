"""CRIU's rules: what it cannot save, or only with an option, by its version. The one table of them.

Each is as CRIU's source has it, 3.17.1 to 4.2, and was compared with what CRIU does with a process that has
the thing, where one can be made (`tests/criu/test_preflight.py`). `source` says where it is decided, or
which commit changed it.
"""
