"""Debian roots, kernels and single programs, made by mmdebstrap from the machine's own mirror."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.lab.commands import run
from tests.lab.places import CannotProvision, Guest

_INCLUDED: Final = ("busybox-static", "criu", "iproute2", "kmod", "procps", "python3")
_LEFT_OUT: Final = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")

# Only fetched: installing it would bring an initramfs and udev, which double the time of a boot.
_FETCH_KERNEL: Final = """\
package=$(chroot "$1" apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: //p')
mkdir "$1/kernel" && chroot "$1" sh -c "cd /kernel && apt-get --quiet download $package"
"""

# What every Debian has, and the kernel, for a root in which nothing can be run.
_UNPACKED: Final = (
    *("base-files", "bash", "coreutils", "dash", "debianutils", "findutils", "grep", "gzip", "hostname"),
    *("libc-bin", "libstdc++6", "login", "mount", "ncurses-base", "passwd", "sed", "tar", "util-linux"),
    "linux-image-{architecture}",
)
_MADE_BY_SCRIPTS: Final = ("passwd", "group", "shadow", "nsswitch.conf")

RECIPE: Final = {"included": _INCLUDED, "left_out": _LEFT_OUT, "kernel": _FETCH_KERNEL}
FOREIGN_RECIPE: Final = {"included": _INCLUDED, "left_out": _LEFT_OUT, "unpacked": _UNPACKED}
"""What a root is made of: when this changes, it is made anew."""


def find_mirror() -> str:
    """The Debian mirror this machine installs from; LAB_MIRROR overrides it.

    Raises:
        CannotProvision: it installs from no Debian mirror.
    """
    if chosen := os.environ.get("LAB_MIRROR"):
        return chosen
    if mirror := _mirror_of_apt():
        return mirror
    if os.geteuid() == 0:
        run(["apt-get", "update"], "updating the package lists", timeout_s=600)
    if mirror := _mirror_of_apt():
        return mirror
    raise CannotProvision(
        "no Debian mirror in this machine's apt sources: name one in the variable LAB_MIRROR"
    )


def _mirror_of_apt() -> str:
    listed = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"],
        "looking for a Debian mirror",
        timeout_s=60,
    )
    return next(iter(listed.split()), "")


def make_root(guest: Guest) -> None:
    """Make the root and unpack the kernel of a Debian release.

    Raises:
        LabError: not root, no mirror, or a tool failed.
    """
    root, kernel = guest.root, guest.kernel
    _mmdebstrap(
        root,
        guest.suite,
        _INCLUDED,
        "--variant=minbase",
        f"--customize-hook={_FETCH_KERNEL}",
        doing=f"making a root of Debian {guest.suite}",
    )
    shutil.rmtree(kernel, ignore_errors=True)
    (package,) = (root / "kernel").glob("linux-image-*.deb")
    run(["dpkg", "-x", package, kernel], "unpacking the kernel", timeout_s=300)
    shutil.rmtree(root / "kernel")
    if not (kernel / "lib").exists():  # since Debian 13 all of it lies below usr
        (kernel / "lib").symlink_to("usr/lib")
    run(["depmod", "-b", kernel, kernel_release(kernel)], "indexing the kernel's modules", timeout_s=300)


def make_foreign_root(guest: Guest, alike: Path) -> None:
    """The same for another architecture: nothing of it runs here, so packages are only unpacked.

    Args:
        guest: what to make.
        alike: a root of the same release, for the few files that packages make as they are installed.

    Raises:
        LabError: as for `make_root`.
    """
    root, kernel, architecture = guest.root, guest.kernel, guest.architecture.debian
    _mmdebstrap(
        root,
        guest.suite,
        [*_INCLUDED, *(name.format(architecture=architecture) for name in _UNPACKED)],
        "--variant=extract",
        f"--arch={architecture}",
        doing=f"unpacking a root of Debian {guest.suite} for {architecture}",
    )
    for name in _MADE_BY_SCRIPTS:
        shutil.copy2(alike / "etc" / name, root / "etc" / name)
    shutil.rmtree(kernel, ignore_errors=True)
    (kernel / "lib").mkdir(parents=True)
    (root / "boot").rename(kernel / "boot")
    (root / "usr/lib/modules").rename(kernel / "lib/modules")
    run(["depmod", "-b", kernel, kernel_release(kernel)], "indexing the kernel's modules", timeout_s=300)


def make_program_root(root: Path, suite: str, package: str) -> None:
    """Unpack a package and what it needs, so that a program of it can run through its own loader.

    Raises:
        LabError: as for `make_root`.
    """
    _mmdebstrap(root, suite, [package], "--variant=extract", doing=f"fetching {package}")


def through_its_loader(wrapper: Path, root: Path, program: str, *arguments: str, **environment: str) -> None:
    """Write a script that runs a program of another release's root with the libraries it was built for."""
    libraries = f"{root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu"
    # Until Debian 12 it lies there by a link that only an installed root has.
    loader = next(
        path
        for path in (root / "usr/lib64/ld-linux-x86-64.so.2", root / "lib64/ld-linux-x86-64.so.2")
        if path.exists()
    )
    command = shlex.join([str(loader), "--library-path", libraries, str(root / program), *arguments])
    settings = "".join(f"{name}={shlex.quote(value)} " for name, value in environment.items())
    script = f'#!/bin/sh\n{settings}exec {command} "$@"\n'
    # What is open for writing, if only in a child that another thread has just forked, cannot be run.
    if not wrapper.exists() or wrapper.read_text() != script:
        wrapper.parent.mkdir(parents=True, exist_ok=True)
        wrapper.write_text(script)
        wrapper.chmod(0o755)


def _mmdebstrap(root: Path, suite: str, packages: Sequence[str], *options: str, doing: str) -> None:
    if os.geteuid() != 0:
        raise CannotProvision(f"{doing} takes root, once:\n  sudo make lab")
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    run(
        [
            *("mmdebstrap", f"--include={','.join(packages)}", *options),
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
            *(suite, root, find_mirror()),
        ],
        doing,
        timeout_s=1800,
        TMPDIR="/tmp",
    )


def kernel_release(kernel: Path) -> str:
    """The release of an unpacked kernel, as in "6.1.0-50-amd64"."""
    (modules,) = (kernel / "lib/modules").iterdir()
    return modules.name
