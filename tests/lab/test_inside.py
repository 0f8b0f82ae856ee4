"""Which tests a kernel of the lab runs."""

from __future__ import annotations

import pytest

from tests.lab.inside import chosen_tests
from tests.lab.places import TESTS

LEFT_OUT = "--ignore=tests/harm/test_docs.py"


@pytest.mark.parametrize("arguments", [[], ["-k", "rearming"]])
def test_all_run_if_none_are_named(arguments: list[str]) -> None:
    chosen = chosen_tests(arguments)
    assert tuple(chosen[: len(TESTS)]) == TESTS
    assert LEFT_OUT in chosen


def test_of_a_named_directory_those_that_need_no_lab_are_left_out() -> None:
    chosen = chosen_tests(["tests/harm"])
    assert not set(TESTS) & set(chosen)
    assert LEFT_OUT in chosen


def test_a_file_that_is_named_itself_is_run() -> None:
    assert LEFT_OUT not in chosen_tests(
        ["tests/harm/test_docs.py::test_a_difference_is_allowed_with_a_reason"]
    )
