"""Runs the tools that make the lab: quietly if they succeed, with their own output if they fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.lab.places import CannotProvision, LabError

PACKAGES: Final = {
    "depmod": "kmod",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "dpkg": "dpkg",
}
"""Tools the lab needs, and the Debian packages that have them."""

COMPILERS: Final = {
    "x86_64-linux-gnu-gcc": ("gcc", "libc6-dev"),
    "aarch64-linux-gnu-gcc": ("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"),
}
"""The same of compilers, for targets that are written in C."""

_TAIL_LINES: Final = 25

# In the words of apt, pip and the resolver.
_NO_NETWORK: Final = re.compile(
    "Could not resolve|Temporary failure|Could not connect|Unable to connect|Network is unreachable"
    "|Failed to establish a new connection|[Cc]onnection (timed out|refused)"
)


def run(command: Sequence[str | Path], doing: str, *, timeout_s: float, **environment: str) -> str:
    """Run a tool to its end and return what it printed.

    Args:
        command: program and arguments.
        doing: what this step does, for the message.
        timeout_s: a tool that takes longer has failed.
        environment: variables to add.

    Raises:
        CannotProvision: it could not reach what it wanted to download.
        LabError: it failed, with the last lines of its output.
    """
    try:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            timeout=timeout_s,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise LabError(f"{doing}: there is no {command[0]} here") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{doing}: {command[0]} did not end within {timeout_s:.0f} s") from error
    if done.returncode:
        tail = "\n".join(f"  | {line}" for line in done.stdout.splitlines()[-_TAIL_LINES:])
        kind = CannotProvision if _NO_NETWORK.search(done.stdout) else LabError
        raise kind(f"{doing}: {command[0]} ended with {done.returncode}\n{tail}")
    return done.stdout


def provide_tools(compilers: Iterable[str] = ()) -> None:
    """Make sure that every tool of `PACKAGES` is there; install what is missing if we are root.

    Args:
        compilers: those of `COMPILERS` that are needed besides.

    Raises:
        CannotProvision: something is missing, and not ours to install.
    """
    wanted = {package for tool, package in PACKAGES.items() if shutil.which(tool) is None}
    for compiler in compilers:
        if shutil.which(compiler) is None:
            wanted.update(COMPILERS[compiler])
    missing = sorted(wanted)
    if not missing:
        return
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise CannotProvision(f"the lab needs {', '.join(missing)}:\n  sudo {' '.join(install)}")
    print(f"installing {', '.join(missing)}", flush=True)
    run(["apt-get", "update"], "updating the package lists", timeout_s=600)
    run(install, "installing packages", timeout_s=1800, DEBIAN_FRONTEND="noninteractive")
