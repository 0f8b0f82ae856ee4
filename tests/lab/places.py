"""Where the lab keeps things, which kernels it has, and what goes wrong in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
LAB: Final = PROJECT / ".lab"
"""Everything that was downloaded, built or reported; ignored by git, removed by `rm -rf`."""

TEST_DIRECTORIES: Final = (
    *("tests/kernel", "tests/tracking", "tests/checkpoint", "tests/criu", "tests/spliced"),
    "tests/images/test_crit.py",
)
"""The tests that depend on the kernel or on CRIU; the image format's and the dashboard's do not."""


class LabError(Exception):
    """The lab could not be made or run; one or more lines that say what to do."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A kernel that is booted, with the userland of the Debian release it belongs to."""

    name: str
    suite: str
    python: str
    """The version of that release's Python, as in "3.13"."""

    @property
    def directory(self) -> Path:
        """What was made for it."""
        return LAB / self.name


DEB12: Final = Guest("deb12", "bookworm", "3.11")
DEB13: Final = Guest("deb13", "trixie", "3.13")

GUESTS: Final = {guest.name: guest for guest in (DEB12, DEB13)}
HOST: Final = "host"
"""The machine's own kernel: nothing is booted, CRIU comes from Debian 13."""

ALL: Final = (*GUESTS, HOST)


def results_directory(name: str) -> Path:
    """Where one kernel's last run left its report and logs."""
    return LAB / "results" / name
