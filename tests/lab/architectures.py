"""What differs between the machines that guests are emulated as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Architecture:
    """One that Debian and QEMU know."""

    debian: str
    """As in the names of Debian's packages."""
    wheels: str
    """As in the names of Python's wheels, and of what Debian installs libraries by."""
    qemu: str
    """QEMU's program."""
    qemu_package: str
    c_compiler: str
    """The program that compiles for it here; it has to have a C library for that."""
    machine: tuple[str, ...]
    """Options for QEMU, whether the CPU is real or not."""
    emulated_cpu: str
    console: str
    """The kernel's name of the first serial line."""
    emulated_kernel: str = ""
    """What the kernel is to know if QEMU computes its CPU."""


# What a real CPU does in no time QEMU computes step by step: mitigations and SMAP, a fifth level of page
# tables, AVX2, string instructions byte by byte (112 is "rep is good"), each page zeroed once more. Without
# all that a page is touched six times as fast, and copied twice as fast.
AMD64: Final = Architecture(
    debian="amd64",
    wheels="x86_64",
    qemu="qemu-system-x86_64",
    qemu_package="qemu-system-x86",
    c_compiler="x86_64-linux-gnu-gcc",
    machine=("-machine", "q35"),
    emulated_cpu="max,-la57,-smap,-smep,-umip,-avx2,-erms,-fsrm",
    console="ttyS0",
    emulated_kernel="mitigations=off tsc=reliable init_on_alloc=0 clearcpuid=112",
)

# Pointer authentication takes QEMU half its time, and CRIU 4.1.1 never ends restoring a process that has it.
ARM64: Final = Architecture(
    debian="arm64",
    wheels="aarch64",
    qemu="qemu-system-aarch64",
    qemu_package="qemu-system-arm",
    c_compiler="aarch64-linux-gnu-gcc",
    machine=("-machine", "virt,gic-version=max"),
    emulated_cpu="max,pauth=off",
    console="ttyAMA0",
    emulated_kernel="mitigations=off init_on_alloc=0",
)
