#!/usr/bin/env python3
"""As much of zdtm as our driver relies on: how it is called, calls CRIU, and tells what came of it.

Standard library only, as it is run by whatever python3 there is. It lists and runs the programs beside it.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

_LISTED = """\
Name                                    Flavors   Flags
zdtm/static/failing
zdtm/static/only_namespaces             ns uns    suid
zdtm/static/refused                     h         crfail
zdtm/static/steady
zdtm/static/stubborn                    h
zdtm/static/unlucky                     h         suid
zdtm/transition/rewriting               h ns uns  reqrst"""


class Failed(Exception):
    """The test has failed, at the step that this says."""


def main() -> int:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list").add_argument("-i", action="store_true")
    run = commands.add_parser("run")
    run.add_argument("-t", dest="test", required=True)
    run.add_argument("-f", dest="flavour", required=True)
    run.add_argument("--criu-bin", required=True)
    run.add_argument("--keep-img", required=True)
    run.add_argument("--ignore-taint", action="store_true")
    run.add_argument("--pre", type=int, default=0)
    run.add_argument("--norst", action="store_true")
    options = parser.parse_args()
    os.chdir(Path(__file__).parent)
    if options.command == "list":
        print(_LISTED)
        return 0
    if options.norst and "rewriting" in options.test:
        print(f"Skipping {options.test} (restore stage is required)")
        return 0
    try:
        judge(options)
    except Failed as failed:
        print(f"##### Test {options.test} FAIL at {failed} #####")
        print(Path(f"{options.test}.out").read_text())
        return 1
    print(f"===== Test {options.test} PASS =====")
    return 0


def judge(options: argparse.Namespace) -> None:
    output, pidfile = Path(f"{options.test}.out"), Path(f"{options.test}.pid")
    output.write_text("")
    subprocess.run([f"./{options.test}", f"--pidfile={pidfile}", f"--outfile={output}"], check=True)
    pid = int(pidfile.read_text())
    images = Path("dump", options.test, str(pid))
    checking = [
        options.criu_bin,
        "check",
        "--no-default-config",
        "-verbosity=0",
        "--feature",
        "mem_dirty_track",
    ]
    if options.pre and subprocess.run(checking, stdout=subprocess.DEVNULL).returncode:
        raise Failed("checking for memory tracking")
    for number in range(1, options.pre + 2):
        directory = images / str(number)
        directory.mkdir(parents=True)
        of_parent = ["--prev-images-dir", f"../{number - 1}", "--track-mem"] if number > 1 else []
        action = "pre-dump" if number <= options.pre else "dump"
        leaving = ["--leave-running"] if action == "dump" and options.norst else []
        try:
            call_criu(options, action, directory, "--tree", str(pid), *of_parent, "--timeout", "10", *leaving)
        except Failed:
            if "refused" not in options.test:
                raise
        else:
            if "refused" in options.test:
                raise Failed("unexpected success")
    if not options.norst:
        os.waitpid(pid, 0)
        pidfile.unlink()
        call_criu(options, "restore", directory, "--pidfile", str(pidfile.absolute()), "--restore-detached")
        pid = int(pidfile.read_text())
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    if "PASS" not in output.read_text().split():
        raise Failed("result check")


def call_criu(options: argparse.Namespace, action: str, directory: Path, *words: str) -> None:
    log = f"{action}.log"
    command = [options.criu_bin, action, "--no-default-config", "--log-file", log]
    command += ["--images-dir", str(directory), "--verbosity=4", *words]
    code = subprocess.run(command).returncode
    for line in (directory / log).read_text(errors="replace").splitlines():
        if "Error" in line:
            print(line.encode())
    if code:
        raise Failed(f"CRIU {action}")


if __name__ == "__main__":
    sys.exit(main())
