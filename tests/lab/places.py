"""Where the lab keeps things, which kernels it has, and what goes wrong in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab.architectures import AMD64, ARM64, Architecture

PROJECT: Final = Path(__file__).resolve().parents[2]
LAB: Final = PROJECT / ".lab"
"""Everything that was downloaded, built or reported; ignored by git, removed by `rm -rf`."""

TESTS: Final = (
    "tests/kernel",
    "tests/tracking",
    "tests/attribution",
    "tests/harm",
    "tests/checkpoint",
    "tests/criu",
    "tests/spliced",
    "tests/trust/test_attacker.py",
    "tests/tui/test_real_soft_dirty.py",
)
"""What depends on the kernel or on CRIU; the image format does not, nor most of the dashboard."""

WITH_CRIU: Final = ("tests/criu", "tests/spliced")
"""Those that need a CRIU that works."""

INDEPENDENT: Final = (
    *("tests/criu/test_log.py", "tests/criu/test_requests.py"),
    *("tests/tracking/test_ages.py", "tests/tracking/test_clean_pages.py", "tests/tracking/test_heat.py"),
    "tests/harm/test_docs.py",
    *("tests/attribution/test_matching.py", "tests/attribution/test_elf_symbols.py"),
    *("tests/checkpoint/test_crit.py", "tests/spliced/test_splicing.py"),
)
"""What lies there and depends on neither."""

GUEST_MARK: Final = "dirtytop.lab"
"""On the kernel's command line in a guest, where tests may change the machine itself."""


class LabError(Exception):
    """The lab could not be made or run; one or more lines that say what to do."""


class CannotProvision(LabError):
    """This machine cannot make the lab, for no fault of ours: not root, no tools, no mirror in reach."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A kernel that is booted, with the userland of the Debian release it belongs to."""

    name: str
    suite: str
    python: str
    """The version of that release's Python, as in "3.13"."""
    architecture: Architecture = AMD64

    @property
    def compiler(self) -> Guest:
        """The guest whose Python runs on this machine, and compiles for this one's."""
        return self if self.architecture is AMD64 else DEB13

    @property
    def directory(self) -> Path:
        """What was made for it."""
        return LAB / self.name

    @property
    def root(self) -> Path:
        """Its root, as a directory."""
        return self.directory / "root"

    @property
    def kernel(self) -> Path:
        """Its kernel's unpacked package."""
        return self.directory / "kernel"

    @property
    def image(self) -> Path:
        """The disk it boots from."""
        return self.directory / "root.ext4"


DEB12: Final = Guest("deb12", "bookworm", "3.11")
DEB13: Final = Guest("deb13", "trixie", "3.13")

ARM64_GUEST: Final = Guest("arm64", "trixie", "3.13", ARM64)
"""Always emulated, so that it runs only where it is named."""

GUESTS: Final = {guest.name: guest for guest in (DEB12, DEB13, ARM64_GUEST)}
HOST: Final = "host"
"""The machine's own kernel: nothing is booted, CRIU comes from Debian 13."""

USUAL: Final = (DEB12.name, DEB13.name, HOST)
"""What runs if nothing is named."""

ALL: Final = (*GUESTS, HOST)

PROJECT_IN_GUEST: Final = "/tmp/project"
SHARED_IN_GUEST: Final = "/mnt/lab"
VENV_IN_GUEST: Final = "/opt/venv"


def results_directory(name: str) -> Path:
    """Where one kernel's last run left its report and logs."""
    return LAB / "results" / name
