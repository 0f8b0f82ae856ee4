"""Lets tests that change the machine itself run only on a machine of the lab's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.places import GUEST_MARK


def require_guest(what: str) -> None:
    """Skip the test on a real machine, whose settings are its owner's."""
    if GUEST_MARK not in Path("/proc/cmdline").read_text():
        pytest.skip(f"{what} is made only in the lab's guests")
