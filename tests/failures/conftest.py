"""CRIU, where one works, and a target that judges itself."""

from __future__ import annotations

from tests.criu.conftest import criu, judge, orphans_are_ours

__all__ = ["criu", "judge", "orphans_are_ours"]
