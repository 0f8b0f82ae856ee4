"""Makes what a guest needs, and keeps it: root, kernel, Python packages, one disk image."""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.lab import roots
from tests.lab.commands import run
from tests.lab.made import is_made, note_made, recipe_file
from tests.lab.places import DEB13, LAB, PROJECT_IN_GUEST, SHARED_IN_GUEST, VENV_IN_GUEST, Guest

_DISTRIBUTIONS: Final = (
    "numpy",
    "psutil",
    "pyelftools",
    "demangle",
    "protobuf",
    "pytest",
    "pytest-asyncio",
    "pytest-timeout",
    "pytest-xdist",
    "hypothesis",
    *("textual", "plotext", "click", "platformdirs", "tomli-w"),
)
"""What the project and its tests import, in the versions we run with ourselves."""

CRIT_ROOT: Final = LAB / "host/crit"
_CRIT_SUITE: Final = "bookworm"
_CRIT_RECIPE: Final = {"suite": _CRIT_SUITE}

_PLATFORMS: Final = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")


def provide_root(guest: Guest) -> None:
    """The root directory of a guest; its kernel is beside it."""
    if not _has_root(guest):
        print(f"{guest.name}: making a root of Debian {guest.suite}", flush=True)
        recipe_file(guest.root).unlink(missing_ok=True)
        if guest.compiler is guest:
            roots.make_root(guest)
        else:
            provide_root(guest.compiler)
            roots.make_foreign_root(guest, guest.compiler.root)
        (guest.root / SHARED_IN_GUEST.lstrip("/")).mkdir(parents=True)
        note_made(guest.root, _root_recipe(guest))


def _has_root(guest: Guest) -> bool:
    return is_made(guest.root, _root_recipe(guest))


def _root_recipe(guest: Guest) -> dict[str, object]:
    made_here = guest.compiler is guest
    return {"suite": guest.suite, **(roots.RECIPE if made_here else roots.FOREIGN_RECIPE)}


def provide_image(guest: Guest) -> None:
    """The disk a guest boots from: its root, with the Python packages of the tests."""
    if guest.compiler is not guest:
        provide_image(guest.compiler)
    provide_root(guest)
    packages = [f"{name}=={version(name)}" for name in _DISTRIBUTIONS]
    recipe = {
        "root": recipe_file(guest.root).read_text(),
        "python": f"{guest.python} in {VENV_IN_GUEST}, project in {PROJECT_IN_GUEST}",
        "packages": packages,
    }
    if not is_made(guest.image, recipe):
        guest.image.unlink(missing_ok=True)
        _install_packages(guest, packages)
        _make_image(guest)
        note_made(guest.image, recipe)


def provide_host_criu() -> Path:
    """A directory for PATH with Debian 13's `criu`, run through its own loader.

    Debian 12's cannot read the vDSO of current kernels.
    """
    provide_root(DEB13)
    wrapper = LAB / "host/bin/criu"
    roots.through_its_loader(wrapper, DEB13.root, "usr/sbin/criu")
    return wrapper.parent


def has_host_roots() -> bool:
    """Whether all is there from which `provide_host_programs` makes its scripts."""
    return _has_root(DEB13) and is_made(CRIT_ROOT, _CRIT_RECIPE)


def provide_host_programs() -> Path:
    """The same directory with `crit` besides, of Debian 12's CRIU, which reads images back in tests."""
    if not is_made(CRIT_ROOT, _CRIT_RECIPE):
        roots.make_program_root(CRIT_ROOT, _CRIT_SUITE, "criu")
        note_made(CRIT_ROOT, _CRIT_RECIPE)
    directory = provide_host_criu()
    roots.through_its_loader(
        directory / "crit",
        CRIT_ROOT,
        "usr/bin/python3",
        str(CRIT_ROOT / "usr/bin/crit"),
        PYTHONHOME=str(CRIT_ROOT / "usr"),
    )
    return directory


def _install_packages(guest: Guest, packages: list[str]) -> None:
    """Wheels are fetched for the guest's Python by ours: no network and no pip are needed in the root."""
    print(f"{guest.name}: installing the Python packages of the tests", flush=True)
    environment = guest.root / VENV_IN_GUEST.lstrip("/")
    library = environment / f"lib/python{guest.python}"
    shutil.rmtree(environment, ignore_errors=True)
    (environment / "bin").mkdir(parents=True)
    (environment / "bin/python").symlink_to("/usr/bin/python3")
    (environment / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--only-binary=:all:"),
            *(
                "--target",
                library / "site-packages",
                "--implementation",
                "cp",
                "--python-version",
                guest.python,
            ),
            *(f"--platform={platform}_{guest.architecture.wheels}" for platform in _PLATFORMS),
            *packages,
        ],
        f"installing Python packages for {guest.name}",
        timeout_s=1200,
    )
    # As an editable install would: programs that the engine starts find it too.
    (library / "site-packages/dirtytop.pth").write_text(f"{PROJECT_IN_GUEST}\n")
    _compile(guest, library)
    if guest.compiler is not guest:  # else Debian's own scripts have done it
        _compile(guest, guest.root / f"usr/lib/python{guest.python}")


def _compile(guest: Guest, library: Path) -> None:
    compiler = guest.compiler.root
    python = LAB / "bin" / f"python{guest.python}"
    roots.through_its_loader(python, compiler, f"usr/bin/python{guest.python}")
    run(
        [python, "-m", "compileall", "-q", "-s", guest.root, "-p", "/", library],
        "compiling the Python packages",
        timeout_s=600,
        PYTHONHOME=str(compiler / "usr"),
    )


def _make_image(guest: Guest) -> None:
    """An ext4 image: the guest caches what it reads of it, which 9p would not (ten times slower)."""
    used_kib = int(run(["du", "-sk", guest.root], "measuring the root", timeout_s=120).split()[0])
    size_kib = used_kib + used_kib // 4 + (64 << 10)
    options = ("-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0")
    run(
        ["mke2fs", *options, "-d", guest.root, guest.image, f"{size_kib}k"],
        "making the disk image",
        timeout_s=600,
    )
