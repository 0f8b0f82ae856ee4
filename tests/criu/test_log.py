"""The one line that says why CRIU failed, out of all that it wrote."""

from __future__ import annotations

import pytest

from engine.checkpoint.criu.log import find_cause

HARMLESS = (
    b"(00.000012) Error (criu/util.c:1533): rlimit: Can't setup RLIMIT_NOFILE for self: Not permitted\n"
)
CONNECTED = b"""\
(00.010000) Warn  (criu/kerndat.c:1): something is missing
(00.020411) Error (criu/sk-inet.c:191): inet: Connected TCP socket, consider using --tcp-established option.
(00.020431) Error (criu/cr-dump.c:1635): Dump files (pid: 42) failed with -1
(00.020700) Error (criu/cr-dump.c:2098): Dumping FAILED.
"""


def test_the_first_error_is_the_cause_and_what_follows_its_consequence() -> None:
    cause = find_cause(CONNECTED)
    assert cause is not None
    assert cause.text == "inet: Connected TCP socket, consider using --tcp-established option."
    assert "--tcp-established" in cause.hint


def test_what_criu_survives_is_passed_over() -> None:
    cause = find_cause(HARMLESS + CONNECTED)
    assert cause is not None
    assert "Connected" in cause.text


def test_nothing_but_harmless_errors_is_no_cause() -> None:
    assert find_cause(HARMLESS) is None
    assert find_cause(HARMLESS, b"", "Can't setup RLIMIT_NOFILE for self") is None
    assert find_cause(b"") is None


@pytest.mark.parametrize(
    "line",
    [
        b"(00.123456) Error (criu/files.c:12): gone: No such file or directory",
        b"(00.123456)   4242: Error (criu/files.c:12): gone: No such file or directory",
        b" 18010: Error (criu/files.c:12): gone: No such file or directory",
        b"(00.123456) pie: 42: Error (criu/pie/restorer.c:12): gone: No such file or directory",
        b"Error (compel/src/lib/infect.c:12): gone: No such file or directory",
    ],
)
def test_every_form_of_an_error_is_recognised(line: bytes) -> None:
    cause = find_cause(b"(00.000001) nothing wrong\n" + line + b"\n")
    assert cause is not None
    assert cause.text == "gone: No such file or directory"


def test_a_mere_consequence_is_better_than_silence() -> None:
    cause = find_cause(b"Error (criu/cr-restore.c:2320): Restoring FAILED.\n")
    assert cause is not None
    assert cause.text == "Restoring FAILED."


def test_before_the_log_is_open_stderr_tells() -> None:
    cause = find_cause(b"", b"Error (criu/image.c:701): Invalid parent image directory provided\n", "")
    assert cause is not None
    assert cause.text == "Invalid parent image directory provided"


def test_what_others_say_on_stderr_is_the_last_resort() -> None:
    stray = b"ld.so: libnl-3.so.200: cannot open shared object file\n"
    cause = find_cause(b"", stray)
    assert cause is not None
    assert "libnl" in cause.text
    cause = find_cause(CONNECTED, stray)
    assert cause is not None
    assert "Connected" in cause.text


def test_what_is_shown_is_one_printable_line() -> None:
    cause = find_cause(b"Error (criu/files.c:1): cannot open \x1b[31m\xff" + b"x" * 1000 + b"\n")
    assert cause is not None
    assert cause.text.startswith("cannot open ␛[31m\\xff")
    assert len(cause.text) < 400
    assert cause.text.endswith("…")


def test_a_kernel_that_is_too_new_for_the_sockets_of_an_old_criu_is_named() -> None:
    cause = find_cause(b"Error (criu/sockets.c:628): sockets: Can't get 1:16 opt: Operation not supported\n")
    assert cause is not None
    assert "newer" in cause.hint


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (b"Can't splice all pages to pipe (49152/21)", "criu 4.2 can"),
        (b"Can't splice pages to pipe (-14/11/6)", "guard region"),
        (b"send_fds failed (-22)", "io_uring"),
        (b"Unknown shit 600 (anon_inode:[io_uring])", "io_uring"),
        (b"Unknown shit 100600 (/secretmem (deleted))", "memfd_secret"),
        (b"Can't get rlimit 0: Operation not permitted", "CAP_SYS_RESOURCE"),
        (b"mnt: 153:./media doesn't have a proper root mount", "podman"),
        (b"Can't create link remap for /a. Use link-remap option.", "`link-remap`"),
        (b"inet: Unsupported proto 262 for socket 20768", "GODEBUG"),
        (b"Can't dump file 3 of that type [20600] (chr 10:229)", "device"),
        (b"Can't dump file 3 of that type [600] (anon anon_inode:[perf_event])", "kernel object"),
        (b"Can't dump file 3 of that type [600] (anon anon_inode:[userfaultfd])", "userfaultfd"),
        (b"tty: Found slave peer index 32 without correspond master peer", "terminal"),
    ],
)
def test_what_criu_fails_of_is_told_as_pre_flight_tells_it(line: bytes, hint: str) -> None:
    cause = find_cause(b"Error (criu/some.c:1): " + line + b"\n")
    assert cause is not None
    assert hint in cause.hint


def test_images_that_a_user_namespace_may_not_read_are_not_blamed_on_a_terminal() -> None:
    cause = find_cause(b"     1: Error (criu/image.c:630): Unable to open tty-info.img: Permission denied\n")
    assert cause is not None
    assert "user namespace" in cause.hint
    assert "terminal" not in cause.hint
