"""`python -m tests.zdtm`: CRIU's own tests, with dirtytop as the checkpointer (docs/lab.md)."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.lab.places import LAB
from tests.zdtm.modes import Mode
from tests.zdtm.results import Case, as_table, from_json, write_json
from tests.zdtm.tree import NoTree, Tree, ZdtmTest, find_tree
from tests.zdtm.trial import run_trial

CANNOT_RUN: Final = 3
"""The exit code where there is no tree; nothing was tested then."""

_HUGE_PAGES: Final = Path("/proc/sys/vm/nr_hugepages")
_JUDGED: Final = tuple(mode for mode in Mode if mode.control is not None)


def main(arguments: Sequence[str]) -> int:
    """Run the tests; the exit code is 0 if none was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.zdtm", description=__doc__)
    names = ",".join(mode.value for mode in _JUDGED)
    parser.add_argument("--modes", default=names, help=f"of {names}; their controls are run before them")
    parser.add_argument("--flavours", default="", help="of h,ns,uns; h by default")
    parser.add_argument("--only", metavar="PATTERN", default="", help="only tests whose name matches")
    parser.add_argument(
        "--limit", type=float, default=120.0, metavar="S", help="seconds for one run of one test"
    )
    parser.add_argument(
        "--results", type=Path, default=LAB / "zdtm", metavar="DIR", help=".lab/zdtm by default"
    )
    parser.add_argument(
        "--again", action="store_true", help="only what was wrong in DIR, by the controls that are there"
    )
    options = parser.parse_args(arguments)
    try:
        modes = tuple(Mode(name) for name in options.modes.split(","))
        tree = find_tree()
        listed = tree.list_tests()
    except ValueError as error:
        parser.error(str(error))
    except NoTree as why:
        print(f"zdtm: not run: {why}", file=sys.stderr)
        return CANNOT_RUN
    options.results.mkdir(parents=True, exist_ok=True)
    results = options.results / "results.json"
    tests = {test.name: test for test in listed if re.search(options.only, test.name)}
    flavours = options.flavours.split(",") if options.flavours else []
    if options.again:
        cases = [from_json(value) for value in json.loads(results.read_text())]
        due = [
            (case, wrong)
            for case in cases
            if case.test in tests and (not flavours or case.flavour in flavours)
            if (wrong := [mode for mode in modes if case.has_been_wrong(mode)])
        ]
    else:
        cases = [
            Case(test.name, flavour)
            for test in tests.values()
            for flavour in flavours or ["h"]
            if flavour in test.flavours
        ]
        due = [(case, list(modes)) for case in cases]
    huge_pages = _HUGE_PAGES.read_text()
    try:
        for number, (case, of_these) in enumerate(due, 1):
            _run_case(tree, tests[case.test], case, of_these, options.limit, options.results)
            write_json((case for case in cases if case.outcomes), results)
            print(f"{number}/{len(due)} {case.in_a_line(of_these)}", flush=True)
    finally:
        # zdtm sets it, and a run that took too long could not set it back.
        _HUGE_PAGES.write_text(huge_pages)
    print(f"\n{as_table(cases, modes)}")
    return 1 if any(case.is_wrong(mode) for case in cases for mode in modes) else 0


def _run_case(
    tree: Tree, test: ZdtmTest, case: Case, modes: Sequence[Mode], limit_s: float, results: Path
) -> None:
    """Each mode after its control; what is wrong once more, and its control too."""

    def run(mode: Mode) -> None:
        case.add(run_trial(tree, test, case.flavour, mode, limit_s, results / "logs"))

    for mode in modes:
        case.forget(mode)
        if mode.control is not None and mode.control not in case.outcomes:
            run(mode.control)
        if not case.may_judge(mode):
            continue
        run(mode)
        # Some tests fail now and then by themselves: a fault has to show twice, and not in the control.
        if case.is_wrong(mode):
            run(mode)
        if mode.control is not None and case.is_wrong(mode):
            run(mode.control)


if __name__ == "__main__":
    # Ended by its signal alone it would leave the program under way running; started in the background
    # it has the other one ignored.
    for _number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(_number, lambda number, _: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))
