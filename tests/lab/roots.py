"""Debian roots and kernels for the guests, made by mmdebstrap from the machine's own mirror."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from tests.lab.commands import run
from tests.lab.places import Guest, LabError

_INCLUDED: Final = ("criu", "python3", "procps", "kmod", "iproute2")
_LEFT_OUT: Final = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")

# Only fetched: installing it would bring an initramfs and udev, which double the time of a boot.
_FETCH_KERNEL: Final = """\
package=$(chroot "$1" apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: //p')
mkdir "$1/kernel" && chroot "$1" sh -c "cd /kernel && apt-get --quiet download $package"
"""

RECIPE: Final = {"included": _INCLUDED, "left_out": _LEFT_OUT, "kernel": _FETCH_KERNEL}
"""What a root is made of: when this changes, it is made anew."""


def find_mirror() -> str:
    """The Debian mirror this machine installs from; LAB_MIRROR overrides it.

    Raises:
        LabError: it installs from no Debian mirror.
    """
    if chosen := os.environ.get("LAB_MIRROR"):
        return chosen
    if mirror := _mirror_of_apt():
        return mirror
    if os.geteuid() == 0:
        run(["apt-get", "update"], "updating the package lists", timeout_s=600)
    if mirror := _mirror_of_apt():
        return mirror
    raise LabError("no Debian mirror in this machine's apt sources: name one in the variable LAB_MIRROR")


def _mirror_of_apt() -> str:
    listed = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"],
        "looking for a Debian mirror",
        timeout_s=60,
    )
    return next(iter(listed.split()), "")


def make_root(guest: Guest, root: Path, kernel: Path) -> None:
    """Make the root and unpack the kernel of a Debian release, each into a directory that is not there.

    Raises:
        LabError: not root, no mirror, or a tool failed.
    """
    if os.geteuid() != 0:
        raise LabError(f"the root of {guest.name} has to be made once by root:\n  sudo make lab-{guest.name}")
    print(f"{guest.name}: making a root of Debian {guest.suite}", flush=True)
    run(
        [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join(_INCLUDED)}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
            f"--customize-hook={_FETCH_KERNEL}",
            guest.suite,
            root,
            find_mirror(),
        ],
        f"making a root of Debian {guest.suite}",
        timeout_s=1800,
        TMPDIR="/tmp",
    )
    (package,) = (root / "kernel").glob("linux-image-*.deb")
    run(["dpkg", "-x", package, kernel], "unpacking the kernel", timeout_s=300)
    shutil.rmtree(root / "kernel")
    if not (kernel / "lib").exists():  # since Debian 13 all of it lies below usr
        (kernel / "lib").symlink_to("usr/lib")
    run(["depmod", "-b", kernel, kernel_release(kernel)], "indexing the kernel's modules", timeout_s=300)


def kernel_release(kernel: Path) -> str:
    """The release of an unpacked kernel, as in "6.1.0-50-amd64"."""
    (modules,) = (kernel / "lib/modules").iterdir()
    return modules.name
