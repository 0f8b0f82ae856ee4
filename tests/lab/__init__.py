"""The tests on other kernels: Debian roots and kernels, booted in QEMU (docs/lab.md)."""
