"""Pre-flight by engine: who can, who cannot and why, and what CRIU will have been told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.checkpoint import dumpable
from engine.checkpoint.criu.features import Criu
from engine.checkpoint.criu.options import CriuOptions
from engine.checkpoint.criu.told import dumper_of
from engine.checkpoint.dumpable import CannotDump, Preflight, choose_engine, look_over, require_dumpable
from engine.checkpoint.engines import examine_engines, go_on, open_chain
from engine.checkpoint.link import Engine
from engine.errors import NotSupported
from engine.images.layout import LinkKind
from engine.preflight.dumper import Dumper
from engine.preflight.finding import Finding, Part, Place, Severity
from engine.tracking.session import Session
from tests.targets.scripted import ScriptedTarget

pytestmark = pytest.mark.spread

CRIU = Criu(Path("/usr/sbin/criu"), (4, 1, 1), why_not="", has_memory_tracking=False)


def finding(
    severity: Severity, *, key: str = "io-uring", option: str = "", part: Part = Part.CRIU
) -> Finding:
    return Finding(
        key, severity, part, key, "it is odd", "do otherwise", (Place(1, "it", "descriptor 3"),), option
    )


def preflight(*findings: Finding) -> Preflight:
    return Preflight(1, "4.1.1", None, findings)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What pre-flight finds, whatever it looks at; CRIU works."""
    findings: list[Finding] = []
    monkeypatch.setattr(dumpable, "examine_criu", lambda: CRIU)
    monkeypatch.setattr("engine.checkpoint.criu.features.examine_criu", lambda: CRIU)
    monkeypatch.setattr(dumpable, "dumper_of", lambda criu, options: Dumper())
    monkeypatch.setattr(dumpable, "examine", lambda pid, dumper: tuple(findings))
    return findings


@pytest.mark.parametrize("severity", list(Severity))
def test_only_what_prevents_a_restorable_dump_keeps_criu_from_it(severity: Severity) -> None:
    judged = preflight(finding(severity))
    prevents = severity in (Severity.BLOCKS, Severity.UNRESTORABLE, Severity.OPTION)
    assert judged.can(Engine.MEMORY)
    assert judged.can(Engine.CRIU) is judged.can(Engine.SPLICED) is not prevents
    assert judged.is_restorable is not prevents


def test_what_concerns_us_keeps_our_engines_from_it_and_what_concerns_both_all() -> None:
    ours = preflight(finding(Severity.BLOCKS, part=Part.OURS))
    assert [ours.can(engine) for engine in (Engine.MEMORY, Engine.CRIU, Engine.SPLICED)] == [
        False,
        True,
        False,
    ]
    both = preflight(finding(Severity.BLOCKS, part=Part.BOTH))
    assert not any(both.can(engine) for engine in Engine)


def test_without_criu_its_engines_say_so_and_ours_works() -> None:
    judged = Preflight(1, "", NotSupported("criu is not installed", hint="install it"), ())
    assert judged.can(Engine.MEMORY)
    assert judged.why_not(Engine.SPLICED) == "criu is not installed"
    assert judged.hint(Engine.CRIU) == "install it"
    assert not judged.is_restorable


def test_auto_takes_spliced_where_nothing_prevents_it_and_else_memory_and_says_why(
    found: list[Finding], target: ScriptedTarget
) -> None:
    found.append(finding(Severity.LOST))
    assert choose_engine(target.pid).engine is Engine.SPLICED
    found.append(finding(Severity.BLOCKS, key="memfd-secret"))
    chosen = choose_engine(target.pid)
    assert chosen.engine is Engine.MEMORY
    assert "memfd-secret" in chosen.why_not_restorable
    assert chosen.hint == "do otherwise"


def test_auto_that_was_told_options_of_criu_does_not_do_without_it(
    found: list[Finding], target: ScriptedTarget
) -> None:
    found.append(finding(Severity.BLOCKS))
    with pytest.raises(CannotDump) as refused:
        choose_engine(target.pid, CriuOptions(tcp_established=True))
    assert refused.value.preflight.findings == tuple(found)
    assert refused.value.exit_code == NotSupported.exit_code


@pytest.mark.parametrize("engine", [Engine.CRIU, Engine.SPLICED])
def test_a_chain_that_could_not_be_ended_is_refused_before_anything_is_made(
    found: list[Finding], target: ScriptedTarget, chain_directory: Path, engine: Engine
) -> None:
    found += [finding(Severity.BLOCKS), finding(Severity.OPTION, key="file-lock", option="file-locks")]
    with Session(target.pid) as session:
        for begin in (open_chain, go_on):
            with pytest.raises(CannotDump) as refused:
                begin(engine, session, chain_directory)
            assert "io-uring" in refused.value.message
            assert "and 1 more" in refused.value.message
        assert not chain_directory.exists()
        assert not session.is_armed


def test_a_chain_of_memory_asks_nobody(found: list[Finding], session: Session, chain_directory: Path) -> None:
    found.append(finding(Severity.BLOCKS))
    assert open_chain(Engine.MEMORY, session, chain_directory).engine is Engine.MEMORY


def test_reports_tell_what_prevents_which_option_would_do_and_all_that_was_found(
    found: list[Finding], session: Session
) -> None:
    found += [
        finding(Severity.OPTION, key="file-lock", option="file-locks"),
        finding(Severity.LOST, key="pipe"),
    ]
    memory, criu, spliced = examine_engines(session)
    assert criu.needed_options == spliced.needed_options == ("file-locks",)
    assert not criu.why_no_dump
    assert spliced.findings == tuple(found)
    assert memory.findings == ()
    found.append(finding(Severity.BLOCKS))
    memory, criu, spliced = examine_engines(session)
    for kind in LinkKind:
        assert "io-uring" in spliced.why_not(kind)
    assert "io-uring" in criu.why_no_dump
    assert not memory.why_no_dump


def test_an_option_that_nobody_offers_is_a_reason_against_it(found: list[Finding], session: Session) -> None:
    found.append(finding(Severity.OPTION, key="deleted-name", option="link-remap"))
    _, criu, _ = examine_engines(session)
    assert "deleted-name" in criu.why_no_dump
    assert criu.needed_options == ()


def test_a_target_that_has_exited_meanwhile_is_said_to_be_gone(
    target: ScriptedTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dumpable, "examine_criu", lambda: CRIU)
    monkeypatch.setattr(dumpable, "dumper_of", lambda criu, options: Dumper())
    with Session(target.pid) as session:
        target.process.kill()
        target.process.wait()
        _, criu, spliced = examine_engines(session)
    assert "has exited" in criu.why_no_dump
    assert "has exited" in spliced.why_no_dump


def test_this_very_machine_finds_nothing_against_ours(target: ScriptedTarget) -> None:
    assert look_over(target.pid).can(Engine.MEMORY)
    assert require_dumpable(Engine.MEMORY, target.pid).pid == target.pid


# -- what CRIU will have been told


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which CRIU finds no options of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CRIU_CONFIG_FILE", raising=False)
    monkeypatch.setattr("engine.checkpoint.criu.obeyed._SYSTEM", tmp_path / "default.conf")
    return tmp_path


def test_our_own_options_are_told(alone: Path) -> None:
    told = dumper_of(None, CriuOptions(shell_job=True, file_locks=True, ghost_limit_bytes=77))
    assert told.options == {"shell-job", "file-locks", "ghost-limit"}
    assert told.ghost_limit_bytes == 77
    assert dumper_of(None, CriuOptions()) == Dumper()


def test_files_of_options_are_read_as_criu_reads_them(alone: Path) -> None:
    config = alone / "given.conf"
    config.write_text(
        '# a comment\n\n  link-remap   # another\nghost-limit 4M\nexternal "mnt[/data]:data"\nno-file-locks\n'
    )
    told = dumper_of(None, CriuOptions(file_locks=True, ghost_limit_bytes=5, config_file=config))
    assert told.options == {"link-remap", "ghost-limit", "external"}
    assert told.ghost_limit_bytes == 4 << 20
    assert told.leaves_out("mnt")
    assert not told.leaves_out("unix")


def test_what_a_request_says_overrules_the_files_that_criu_reads_unasked(alone: Path) -> None:
    (alone / ".criu").mkdir()
    (alone / ".criu" / "default.conf").write_text("tcp-established\nskip-in-flight\n")
    (alone / "default.conf").write_text("evasive-devices\n")
    assert dumper_of(None, CriuOptions()).options == {"skip-in-flight", "evasive-devices"}


def test_plugins_are_those_in_the_directory_that_is_named(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alone / "plugins").mkdir()
    (alone / "plugins" / "cuda_plugin.so").touch()
    monkeypatch.setenv("CRIU_LIBS_DIR", str(alone / "plugins"))
    assert dumper_of(None, CriuOptions()).plugins == {"cuda_plugin"}


def test_whether_criu_saves_bpf_maps_is_seen_in_the_program(alone: Path) -> None:
    program = alone / "criu"
    criu = Criu(program, (4, 1, 1), why_not="", has_memory_tracking=False)
    for content, has in (
        (b"\x7fELF libc.so.6", False),
        (b"\x7fELF libbpf.so.1", True),
        (b"#! libbpf.so", False),
    ):
        program.write_bytes(content)
        os.utime(program, ns=(0, len(content)))
        assert dumper_of(criu, CriuOptions()).has_bpf_maps is has
