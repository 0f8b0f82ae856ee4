"""What zdtm calls in CRIU's place: dirtytop makes the checkpoint, CRIU restores it.

`python -m tests.zdtm.standin --mode MODE … -- …`, with the arguments for CRIU last.

zdtm asks for one link at a time, and only one dirtytop that makes them all can tell what was written from
one to the next. So the first request starts `dirtytop checkpoint`, and each waits until its link is reported.
Only the command line is used, as anybody would. What else zdtm asks CRIU for is answered by CRIU itself.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from tests.zdtm.modes import Mode
from tests.zdtm.outside import View, differences, view_tree

_EVERY_S: Final = "1"
"""From link to link: what zdtm does between two requests is done by then."""
_LIMIT_S: Final = 55.0
"""zdtm itself gives up after 60."""
_LOOK_EVERY_S: Final = 0.02
_LOOKS: Final = 10
"""How often a program is looked at to learn what it changes by itself,"""
_BETWEEN_LOOKS_S: Final = 0.2
"""which takes about as long as what is done to it otherwise."""

_OURS: Final = {
    **{name: name for name in ("--shell-job", "--tcp-established", "--ext-unix-sk", "--file-locks")},
    "--network-lock": "--network-lock",
    "--timeout": "--freeze-timeout",
}
"""Options of CRIU's that dirtytop has too, and how it calls them."""
_SAID_OTHERWISE: Final = {
    *("--no-default-config", "--log-file", "--verbosity", "--images-dir", "--prev-images-dir", "--tree"),
    *("--pidfile", "--track-mem", "--pre-dump-mode", "--leave-running"),
}
"""Options that say what dirtytop is told by its own, or decides."""


@dataclass(slots=True)
class Report:
    """What was done, for the driver."""

    commands: list[dict[str, str | int]] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    """What of the tree was not as before afterwards."""

    def run(self, command: Sequence[str]) -> int:
        """Run a command of dirtytop's; its exit code."""
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        )
        self.commands.append({"command": command[1], "code": done.returncode, "said": done.stderr.strip()})
        return done.returncode

    def errors(self) -> str:
        """What they complained of, as zdtm shows it."""
        return as_errors(line for command in self.commands for line in str(command["said"]).splitlines())

    def write(self, path: Path) -> None:
        """Where the driver finds it."""
        path.write_text(json.dumps(asdict(self)) + "\n")


def as_errors(lines: Iterable[str]) -> str:
    """A log as zdtm looks through it: it shows lines that say "Error"."""
    return "".join(f"Error {line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of CRIU's command line."""

    action: str
    words: tuple[str, ...]

    def value(self, option: str) -> str:
        """What follows an option.

        Raises:
            ValueError: it is not there.
        """
        return self.words[self.words.index(option) + 1]

    @property
    def images(self) -> Path:
        """Where zdtm wants the images: each in a directory that is named by its number."""
        return Path(self.value("--images-dir")).absolute()

    @property
    def log(self) -> Path:
        """What zdtm looks through afterwards."""
        return self.images / self.value("--log-file")

    @property
    def number(self) -> int:
        """Which link is asked for."""
        return int(self.images.name)

    def options(self) -> tuple[list[str], list[str]]:
        """What dirtytop is told on its command line, and the lines of CRIU's options besides."""
        ours: list[str] = []
        config: list[str] = []
        for name, value in self._pairs():
            if name in _OURS:
                ours += [_OURS[name], *([value] if value else [])]
            elif name not in _SAID_OTHERWISE:
                config.append(f"{name.removeprefix('--')} {self._absolute(value)}".rstrip())
        return ours, config

    def _absolute(self, value: str) -> str:
        """A path as CRIU would find it that works where the images are; dirtytop has it work elsewhere."""
        return str((self.images / value).resolve()) if value.startswith("../") else value

    def write_options(self, config: Path) -> list[str]:
        """What dirtytop is told on its command line; the rest is written into a file that it is told of."""
        ours, lines = self.options()
        config.write_text("".join(f"{line}\n" for line in lines))
        return ["--criu-config", str(config), *ours]

    def _pairs(self) -> Iterator[tuple[str, str]]:
        """Each option with its value, empty where it has none."""
        words = [part for word in self.words for part in word.split("=", 1 if word.startswith("--") else 0)]
        for word, after in zip(words, [*words[1:], ""], strict=True):
            if word.startswith("--"):
                yield word, "" if after.startswith("--") else after


def main(arguments: Sequence[str]) -> int:
    """Answer one call; the exit code is what zdtm goes by."""
    ours, theirs = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    parser = argparse.ArgumentParser(prog="tests.zdtm.standin")
    parser.add_argument("--mode", type=Mode, required=True)
    parser.add_argument("--criu", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--pre-dumps", type=int, default=0)
    parser.add_argument("--refuse", action="store_true", help="say that it could not be dumped")
    options = parser.parse_args(ours)
    os.environ.pop("PYTHONPATH", None)
    call = Call(theirs[0], tuple(theirs[1:]))
    if call.action == "check" and "mem_dirty_track" in call.words and options.pre_dumps:
        return 0  # zdtm asks before it asks for pre-dumps: ours need no bits of the kernel's
    if call.action not in ("pre-dump", "dump"):
        os.execv(options.criu, [str(options.criu), *theirs])
    os.environ["DIRTYTOP_CRIU"] = str(options.criu)
    # zdtm lets everybody write to its directories, for tests that are not root.
    os.environ.pop("CRIU_LIBS_DIR", None)
    # Beside zdtm's own, as deep: some tests give paths that start from the images.
    path = call.images.parent.with_suffix(".dirtytop")
    config = options.report.with_name("criu.conf")
    if options.mode.is_restored:
        chain = RunningChain(path)
        if call.number == 1:
            chain.start(call, options.mode, options.pre_dumps, config)
        return chain.answer(call)
    report = Report()
    root = int(call.value("--tree"))
    before = view_tree(root)
    code = 0
    if options.mode.control is None:
        report.differences = list(_by_itself(root, before))
        if options.mode is Mode.PLAIN_LEFT:
            code = subprocess.run([options.criu, *theirs]).returncode
    else:
        for command in _touches(call, options.mode, path, config):
            code |= report.run(command)
    report.differences += differences(before, view_tree(root))
    report.write(options.report)
    if options.mode is not Mode.PLAIN_LEFT:
        call.log.write_text(report.errors())
    if options.mode in (Mode.UNTOUCHED, Mode.HARM):
        # It must go on, whatever came of the commands: those are judged by the driver.
        return 1 if options.refuse else 0
    return code


class RunningChain:
    """A chain that a dirtytop makes while zdtm asks for its links one by one."""

    def __init__(self, path: Path) -> None:
        """`path` is where its links are made; what belongs to it lies beside it."""
        self._path = path
        self._links = path.with_suffix(".links")
        """Its standard output: a line a link."""
        self._said = path.with_suffix(".said")
        self._ended = path.with_suffix(".ended")
        """Its exit code, once there is one."""

    def start(self, call: Call, mode: Mode, pre_dumps: int, config: Path) -> None:
        """Start the dirtytop that makes all links; it outlives this call."""
        command = _dirtytop(
            *("checkpoint", call.value("--tree"), self._path, "--trust-directory"),
            *("--engine", mode.value, "--after", "kill"),
            *("--pre-dumps", pre_dumps, "--every", _EVERY_S, "--json"),
            *call.write_options(config),
        )
        with self._links.open("wb") as out, self._said.open("wb") as said:
            subprocess.Popen(
                ["sh", "-c", '"$@"; echo $? >"$0.new"; mv "$0.new" "$0"', str(self._ended), *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=said,
                start_new_session=True,
            )

    def answer(self, call: Call) -> int:
        """Wait for the link that is asked for, show it where zdtm wants it; the exit code for zdtm."""
        code = self._wait(call)
        said = self._said.read_text(errors="replace").splitlines()
        if code is None:
            said.append(f"tests.zdtm: link {call.number} is not there after {_LIMIT_S:.0f} s")
        call.log.write_text(as_errors(said))
        link = self._path / str(call.number)
        if code == 0:
            for image in link.iterdir():
                # No symbolic link: CRIU opens images also where the machine's paths are out of its sight.
                os.link(image, call.images / image.name, follow_symlinks=False)
        return 1 if code is None else code

    def _wait(self, call: Call) -> int | None:
        """0 once the link is there, and after a dump its dirtytop has ended; None if that takes too long."""
        deadline_s = time.monotonic() + _LIMIT_S
        while time.monotonic() < deadline_s:
            if self._ended.exists():
                return int(self._ended.read_text())
            if call.action == "pre-dump" and self._links.read_bytes().count(b"\n") >= call.number:
                return 0
            time.sleep(_LOOK_EVERY_S)
        return None


def _touches(call: Call, mode: Mode, path: Path, config: Path) -> Iterator[list[str]]:
    """The commands that do to a target all that dirtytop does to one that it does not end."""
    pid = call.value("--tree")
    checkpoint = ("checkpoint", pid, path, "--trust-directory", "--pre-dumps", 2, "--every", 0.5)
    if mode is Mode.LEFT:
        yield _dirtytop(*checkpoint, "--engine", "spliced", *call.write_options(config))
    else:
        yield _dirtytop("watch", pid, "--count", 3, "--interval", 0.3)
        yield _dirtytop(*checkpoint, "--engine", "memory")


def _by_itself(root: int, before: View) -> Iterator[str]:
    """What changes without our doing anything."""
    for _ in range(_LOOKS):
        time.sleep(_BETWEEN_LOOKS_S)
        yield from differences(before, view_tree(root))


def _dirtytop(*words: object) -> list[str]:
    return [str(Path(sys.executable).with_name("dirtytop")), *map(str, words)]


def standin_script(words: Iterable[str], project: Path) -> str:
    """A program that calls this one: zdtm wants one path."""
    command = shlex.join([sys.executable, "-m", "tests.zdtm.standin", *words, "--"])
    return f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(project))} exec {command} "$@"\n'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
