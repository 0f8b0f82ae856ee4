"""Symbols of real programs, and of files that are none of what they say."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.attribution.elf_symbols import ElfSymbols
from engine.attribution.symbols import demangled
from tests.targets.compiled import compiled

SOURCE = "int seven(void)\n{\n    return 7;\n}\nint main(void) { return seven(); }\n" + "".join(
    f"int of_many_{number}(int argument) {{ return argument + {number}; }}\n" for number in range(300)
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With debug information."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    place = tmp_path_factory.mktemp("elf")
    (place / "seven.c").write_text(SOURCE)
    subprocess.run(
        [compiler, "-g", "-O0", "-Wl,--build-id", "-o", place / "seven", place / "seven.c"], check=True
    )
    return place / "seven"


def address_of(program: Path, name: str) -> int:
    listed = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    return next(int(line.split()[0], 16) for line in listed.splitlines() if line.endswith(f" T {name}"))


def test_a_function_and_a_line_are_found(program: Path) -> None:
    symbols = ElfSymbols(str(program))
    address = address_of(program, "seven")
    assert symbols.function_at(address) == (b"seven", 0)
    assert symbols.function_at(address + 3) == (b"seven", 3)
    line = symbols.line_at(address)
    assert line is not None
    assert (Path(line.file).name, line.line) == ("seven.c", 2)
    assert symbols.function_at(0) is None


def test_a_stripped_program_has_those_of_its_debug_file(program: Path, tmp_path: Path) -> None:
    build_id = ElfSymbols(str(program)).build_id
    debug = tmp_path / "debug" / build_id[:2] / f"{build_id[2:]}.debug"
    debug.parent.mkdir(parents=True)
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-o", stripped, program], check=True)
    address = address_of(program, "seven")
    assert ElfSymbols(str(stripped), tmp_path / "none").function_at(address) is None
    symbols = ElfSymbols(str(stripped), tmp_path / "debug")
    assert symbols.function_at(address) == (b"seven", 0)
    assert symbols.line_at(address) is not None


def test_what_is_no_program_has_no_symbols(tmp_path: Path) -> None:
    for content in (b"", b"\x7fELF", b"#!/bin/sh\n", bytes(4096)):
        (tmp_path / "file").write_bytes(content)
        assert ElfSymbols(str(tmp_path / "file")).is_empty
    assert ElfSymbols(str(tmp_path / "missing")).is_empty


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_program_that_was_tampered_with_is_read_as_far_as_it_goes(data: st.DataObject) -> None:
    content = bytearray(compiled("five_writers").read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.one_of(st.integers(0, 1023), st.integers(0, len(content) - 1)))
        content[at] = data.draw(st.integers(0, 255))
    path = compiled("five_writers").with_name("tampered")
    path.write_bytes(content)
    symbols = ElfSymbols(str(path))
    for address in (0, 0x1000, 0x1200, 1 << 40):
        symbols.function_at(address)
        symbols.line_at(address)
        symbols.address_of(address)


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        (b"_ZN3app5Cache4fillEm", b"app::Cache::fill(unsigned long)"),
        (b"_RNvC6_123foo3bar", b"123foo::bar"),
        (b"main", b"main"),
        (b"_Z" + b"1" * 5000, b"_Z" + b"1" * 5000),
    ],
)
def test_names_are_spelled_as_the_source_has_them(name: bytes, spelled: bytes) -> None:
    assert demangled(name) == spelled


def test_compressed_debug_information_is_read_only_if_it_is_as_large_as_it_says(program: Path) -> None:
    packed = program.with_name("packed")
    subprocess.run(["objcopy", "--compress-debug-sections=zlib", program, packed], check=True)
    address = address_of(program, "seven")
    assert ElfSymbols(str(packed)).line_at(address) is not None
    content = bytearray(packed.read_bytes())
    said = struct.pack("<Q", _unpacked_size(packed, ".debug_info"))
    assert content.count(said)
    content[:] = content.replace(said, struct.pack("<Q", 17))
    packed.write_bytes(content)
    symbols = ElfSymbols(str(packed))
    assert symbols.line_at(address) is None
    assert symbols.function_at(address) == (b"seven", 0)


def _unpacked_size(program: Path, section: str) -> int:
    with program.open("rb") as file:
        found = ELFFile(file).get_section_by_name(section)
        assert found is not None
        assert found.compressed
        return int(found.data_size)
