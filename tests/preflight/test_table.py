"""The table of rules: each is told apart, says where it comes from, and is in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.preflight.finding import Rule, Severity
from engine.preflight.rules import files, namespaces, processes, sockets

DOCUMENT = Path(__file__).parents[2] / "docs" / "preflight.md"
RULES = tuple(
    rule
    for module in (files, sockets, processes, namespaces)
    for rule in vars(module).values()
    if isinstance(rule, Rule)
)


def row(rule: Rule) -> str:
    """Its line in the documentation's table."""
    versions = ""
    if rule.until is not None:
        versions = "before " + ".".join(map(str, rule.until[:2]))
    elif rule.since > (3, 17, 1):
        versions = "since " + ".".join(map(str, rule.since[:2]))
    option = f"`{rule.option}`" if rule.option else ""
    return f"| `{rule.key}` | {rule.title}: {rule.why} | {rule.severity.value} | {versions} | {option} |"


def test_no_two_rules_have_one_name() -> None:
    keys = [rule.key for rule in RULES]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
def test_a_rule_says_where_it_comes_from_and_what_becomes_of_the_thing(rule: Rule) -> None:
    assert rule.source
    assert rule.why
    assert not rule.why.endswith(".")
    # What takes an option has it named, but for the one that takes a number.
    assert (rule.severity is not Severity.OPTION) or rule.option or "--ghost-limit" in rule.hint


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
def test_a_rule_is_in_the_documentation_as_it_is_in_the_code(rule: Rule) -> None:
    assert row(rule) in DOCUMENT.read_text().splitlines()
