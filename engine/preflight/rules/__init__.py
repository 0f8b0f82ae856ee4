"""The one table of CRIU's rules: what which version cannot save, or only with an option.

Each rule follows CRIU's source, 3.17.1 to 4.2, and was compared with what CRIU does to a process that
has the thing, if such a process can be made (`tests/criu/test_preflight.py`). `source` says where CRIU
decides, or which commit changed it.
"""
