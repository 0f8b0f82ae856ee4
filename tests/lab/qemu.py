"""The machine that a guest runs on: Debian 13's QEMU, and how it is started."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.lab.architectures import Architecture
from tests.lab.initramfs import MODULES_TAG, SHARED_TAG
from tests.lab.made import is_made, note_made
from tests.lab.places import GUEST_MARK, LAB, Guest
from tests.lab.roots import kernel_release, make_program_root, through_its_loader

_SUITE: Final = "trixie"
_EMULATED: Final = ("-accel", "tcg,thread=multi,tb-size=512")
_REAL: Final = ("-accel", "kvm", "-cpu", "host")


def provide_qemu(architecture: Architecture) -> Path:
    """Debian 13's QEMU, run through its own loader; Debian 12's is a sixth slower where it emulates."""
    root = LAB / "qemu" / architecture.debian
    wrapper = LAB / "bin" / architecture.qemu
    recipe = {"suite": _SUITE, "package": architecture.qemu_package}
    if not is_made(root, recipe):
        print(f"fetching {architecture.qemu_package}", flush=True)
        make_program_root(root, _SUITE, architecture.qemu_package)
        note_made(root, recipe)
    firmware = (word for name in ("qemu", "seabios") for word in ("-L", str(root / "usr/share" / name)))
    through_its_loader(wrapper, root, f"usr/bin/{architecture.qemu}", *firmware)
    return wrapper


def has_kvm(qemu: Path, architecture: Architecture) -> bool:
    """Whether KVM works: QEMU starts a machine with it. That /dev/kvm can be opened does not say so."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK) or architecture.wheels != platform.machine():
        return False
    machine = [str(qemu), "-nodefaults", "-display", "none", "-S", "-monitor", "stdio"]
    try:
        tried = subprocess.run(
            [*machine, *architecture.machine, *_REAL], input=b"quit\n", capture_output=True, timeout=20
        )
    except subprocess.TimeoutExpired:
        return False
    return tried.returncode == 0


def qemu_command(
    qemu: Path, guest: Guest, initramfs: Path, shared: Path, console: Path, *, kvm: bool, cpus: int
) -> Sequence[str]:
    """A machine with few devices: where the CPU is emulated, QEMU looks after each of them all the time.

    Args:
        qemu: from `provide_qemu`.
        guest: what to boot.
        initramfs: its first root.
        shared: the directory that it may write to.
        console: where the kernel's messages go.
        kvm: whether the CPUs are real.
        cpus: how many there are.
    """
    release = kernel_release(guest.kernel)
    modules = guest.kernel / "lib/modules" / release
    architecture = guest.architecture
    kernel_arguments = f"console={architecture.console} panic=-1 {GUEST_MARK}"
    if not kvm:
        kernel_arguments += f" {architecture.emulated_kernel}"
    return [
        *(str(qemu), "-name", guest.name, "-nodefaults", "-no-user-config", "-no-reboot"),
        *(*architecture.machine, "-m", "3G", "-smp", str(cpus)),
        *(_REAL if kvm else (*_EMULATED, "-cpu", architecture.emulated_cpu)),
        *("-display", "none", "-serial", f"file:{console}"),
        *("-kernel", str(guest.kernel / f"boot/vmlinuz-{release}"), "-initrd", str(initramfs)),
        *("-append", kernel_arguments),
        # What the guest writes to its disk is gone when it ends.
        *("-drive", f"if=none,id=root,file={guest.image},format=raw,snapshot=on"),
        *("-device", "virtio-blk-pci,drive=root,num-queues=1"),
        *_shared_directory(SHARED_TAG, shared),
        *_shared_directory(MODULES_TAG, modules, ",readonly=on"),
    ]


def _shared_directory(tag: str, path: Path, options: str = "") -> Sequence[str]:
    return [
        *("-fsdev", f"local,id={tag},path={path.resolve()},security_model=none,multidevs=remap{options}"),
        *("-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"),
    ]
