"""Make what is missing for a guest, and keep it: root, kernel, Python packages, one disk image."""

from __future__ import annotations

import json
import shutil
import sys
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.lab import roots
from tests.lab.commands import provide_tools, run
from tests.lab.places import DEB13, LAB, Guest

_VIRTME_NG: Final = "virtme-ng==1.42"

_DISTRIBUTIONS: Final = (
    "numpy",
    "psutil",
    "protobuf",
    "pytest",
    "pytest-asyncio",
    "pytest-timeout",
    "pytest-xdist",
    "hypothesis",
)
"""What the engine and its tests import, in the versions we run with ourselves."""

_PLATFORMS: Final = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")

VENV_IN_GUEST: Final = "opt/venv"
PROJECT_IN_GUEST: Final = "/tmp/project"
SHARED_IN_GUEST: Final = "mnt/lab"


def provide_virtme() -> Path:
    """The `vng` program, in an environment of its own."""
    environment = LAB / "venv"
    recipe = {"virtme": _VIRTME_NG, "python": sys.version}
    if not _is_made(environment, recipe):
        print("installing virtme-ng", flush=True)
        venv.create(environment, with_pip=True, clear=True)
        run(
            [environment / "bin/python", "-m", "pip", "install", "--quiet", _VIRTME_NG],
            "installing virtme-ng",
            timeout_s=600,
        )
        _note_made(environment, recipe)
    return environment / "bin/vng"


def provide_root(guest: Guest) -> Path:
    """The root directory of a guest; its kernel is beside it."""
    provide_tools()
    root, kernel = guest.directory / "root", guest.directory / "kernel"
    recipe = {"suite": guest.suite, **roots.RECIPE}
    if not _is_made(root, recipe):
        for made in (root, kernel):
            shutil.rmtree(made, ignore_errors=True)
        guest.directory.mkdir(parents=True, exist_ok=True)
        roots.make_root(guest, root, kernel)
        (root / SHARED_IN_GUEST).mkdir()
        _note_made(root, recipe)
    return root


def provide_image(guest: Guest) -> Path:
    """The disk a guest boots from: its root, with the Python packages of the tests."""
    root = provide_root(guest)
    image = guest.directory / "root.ext4"
    packages = [f"{name}=={version(name)}" for name in _DISTRIBUTIONS]
    recipe = {
        "root": _recipe_file(root).read_text(),
        "python": f"{guest.python} in {VENV_IN_GUEST}, project in {PROJECT_IN_GUEST}",
        "packages": packages,
    }
    if not _is_made(image, recipe):
        image.unlink(missing_ok=True)
        _install_packages(guest, root, packages)
        _make_image(root, image)
        _note_made(image, recipe)
    return image


def provide_host_criu() -> Path:
    """A directory for PATH with Debian 13's `criu`, run through its own loader.

    Debian 12's cannot read the vDSO of current kernels.
    """
    root = provide_root(DEB13)
    directory = LAB / "host/bin"
    directory.mkdir(parents=True, exist_ok=True)
    wrapper = directory / "criu"
    libraries = f"{root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu"
    wrapper.write_text(
        "#!/bin/sh\n"
        f"exec '{root}/lib64/ld-linux-x86-64.so.2' --library-path '{libraries}' \\\n"
        f"  '{root}/usr/sbin/criu' \"$@\"\n"
    )
    wrapper.chmod(0o755)
    return directory


def _install_packages(guest: Guest, root: Path, packages: list[str]) -> None:
    """Wheels are fetched for the guest's Python by ours: no network and no pip are needed in the root."""
    print(f"{guest.name}: installing the Python packages of the tests", flush=True)
    environment = root / VENV_IN_GUEST
    run(
        ["chroot", root, "python3", "-m", "venv", "--clear", "--without-pip", f"/{VENV_IN_GUEST}"],
        "making a Python environment",
        timeout_s=120,
    )
    packages_directory = environment / f"lib/python{guest.python}/site-packages"
    run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--only-binary=:all:"),
            *("--target", packages_directory, "--implementation", "cp", "--python-version", guest.python),
            *(word for platform in _PLATFORMS for word in ("--platform", platform)),
            *packages,
        ],
        f"installing Python packages for {guest.name}",
        timeout_s=1200,
    )
    # As an editable install would: programs that the engine starts find it too.
    (packages_directory / "dirtytop.pth").write_text(f"{PROJECT_IN_GUEST}\n")
    run(
        ["chroot", root, "python3", "-m", "compileall", "-q", "-j", "0", f"/{VENV_IN_GUEST}"],
        "compiling the Python packages",
        timeout_s=600,
    )


def _make_image(root: Path, image: Path) -> None:
    """An ext4 image that is only read: the guest caches it, which 9p would not (ten times slower)."""
    used_kib = int(run(["du", "-sk", root], "measuring the root", timeout_s=120).split()[0])
    size_kib = used_kib + used_kib // 4 + (64 << 10)
    options = ("-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0")
    run(
        ["mke2fs", *options, "-d", root, image, f"{size_kib}k"],
        "making the disk image",
        timeout_s=600,
    )


def _recipe_file(made: Path) -> Path:
    return made.with_name(f"{made.name}.recipe")


def _is_made(made: Path, recipe: object) -> bool:
    """Whether it was made, to the end, and by this very recipe."""
    noted = _recipe_file(made)
    return made.exists() and noted.exists() and noted.read_text() == _text(recipe)


def _note_made(made: Path, recipe: object) -> None:
    _recipe_file(made).write_text(_text(recipe))


def _text(recipe: object) -> str:
    return json.dumps(recipe, indent=1)
