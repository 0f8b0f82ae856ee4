"""The first root of a guest: it loads the modules that the disk needs, and hands over to the disk.

An initramfs is an uncompressed archive of cpio's "newc" format
(Documentation/driver-api/early-userspace/buffer-format.rst).
"""

from __future__ import annotations

import lzma
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.lab.places import SHARED_IN_GUEST, LabError

START: Final = "start"
"""The script in the shared directory that the guest goes on with."""

SHARED_TAG: Final = "lab"
MODULES_TAG: Final = "modules"
"""What the shared directories are called on the way into the guest."""

# ext4 asks for crc32c by another way than its dependencies.
_MODULES: Final = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "9p", "9pnet_virtio")

# Whoever has made the image need not have been root; in the guest, root uses only what is root's.
_INIT: Final = """\
#!/bin/busybox sh
export PATH=/bin
busybox mount -t devtmpfs dev /dev
for module in /modules/*; do busybox insmod $module; done
share() {{ busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,$3 $1 $2; }}
busybox mount -t ext4 -o noatime /dev/vda /root &&
{{ busybox chown -h 0:0 /root /root/* /root/usr/* /root/var/* /root/usr/sbin/criu || :; }} &&
busybox mkdir -p /root/lib/modules/{release} /root{shared} &&
share {modules_tag} /root/lib/modules/{release} ro &&
share {shared_tag} /root{shared} rw &&
busybox mount -o move /dev /root/dev &&
exec busybox switch_root /root /bin/sh {shared}/{start}
"""


def make_initramfs(root: Path, kernel: Path, release: str) -> bytes:
    """The archive for a kernel.

    Args:
        root: where busybox is taken from.
        kernel: the unpacked package, its modules indexed.
        release: of the kernel, as in "6.1.0-50-amd64".

    Raises:
        LabError: the kernel has no module that is needed, or the root no busybox.
    """
    busybox = next((path for path in (root / "usr/bin/busybox", root / "bin/busybox") if path.exists()), None)
    if busybox is None:
        raise LabError(f"no busybox in {root}")
    init = _INIT.format(
        release=release,
        shared=SHARED_IN_GUEST,
        start=START,
        modules_tag=MODULES_TAG,
        shared_tag=SHARED_TAG,
    )
    modules = _in_loading_order(kernel / "lib/modules" / release)
    archive = [
        *(_entry(directory, stat.S_IFDIR | 0o755) for directory in ("bin", "dev", "modules", "root")),
        _entry("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes()),
        _entry("init", stat.S_IFREG | 0o755, init.encode()),
        *(
            _entry(
                f"modules/{number:03}-{path.name.removesuffix('.xz')}", stat.S_IFREG | 0o644, _module(path)
            )
            for number, path in enumerate(modules)
        ),
        _entry("TRAILER!!!", 0),
    ]
    return b"".join(archive)


def _in_loading_order(directory: Path) -> Sequence[Path]:
    """The files of `_MODULES` and of what they need, each after what it needs itself."""
    needs: dict[str, tuple[Path, list[str]]] = {}
    for line in (directory / "modules.dep").read_text().splitlines():
        path, _, needed = line.partition(":")
        needs[_name(path)] = (directory / path, [_name(other) for other in needed.split()])
    builtin = {_name(path) for path in (directory / "modules.builtin").read_text().split()}
    ordered: dict[Path, None] = {}

    def load(name: str) -> None:
        if name in builtin:
            return
        if name not in needs:
            raise LabError(f"the kernel has no module {name}: {directory}")
        path, needed = needs[name]
        for other in needed:
            load(other)
        ordered[path] = None

    for name in _MODULES:
        load(name)
    return list(ordered)


def _name(path: str) -> str:
    """As in "virtio_pci" for "kernel/drivers/virtio/virtio_pci.ko.xz"."""
    return Path(path).name.partition(".")[0].replace("-", "_")


def _module(path: Path) -> bytes:
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content


def _entry(name: str, mode: int, content: bytes = b"") -> bytes:
    encoded = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return b"".join(_padded([header + encoded, content]))


def _padded(parts: Sequence[bytes]) -> Iterator[bytes]:
    for part in parts:
        yield part
        yield bytes(-len(part) % 4)
