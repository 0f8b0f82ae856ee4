"""The generated protobuf code is what the `.proto` files say, and a change to them is noticed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import engine

pytest.importorskip("grpc_tools", reason="protoc is not installed")


def check(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine.images.generate", "--check"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the engine that may be changed."""
    assert engine.__file__ is not None
    shutil.copytree(
        Path(engine.__file__).parent, tmp_path / "engine", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path


def test_what_is_committed_is_current(tree: Path) -> None:
    done = check(tree)
    assert done.returncode == 0, done.stderr


def test_words_of_another_protoc_do_not_matter(tree: Path) -> None:
    for path in (tree / "engine" / "images" / "proto").glob("*_pb2.py*"):
        path.write_text("# made by protoc 99\n" + path.read_text().replace("_Optional[", "_typing_Optional["))
    assert check(tree).returncode == 0


def test_a_changed_field_is_noticed(tree: Path) -> None:
    source = tree / "engine" / "images" / "proto" / "pagemap.proto"
    source.write_text(source.read_text().replace("optional uint32 flags", "optional uint64 flags"))
    done = check(tree)
    assert done.returncode == 1
    assert "pagemap_pb2.py " in done.stderr


def test_a_stub_that_lacks_a_field_is_noticed(tree: Path) -> None:
    stub = tree / "engine" / "images" / "proto" / "pagemap_pb2.pyi"
    stub.write_text(stub.read_text().replace("    nr_pages: int\n", ""))
    done = check(tree)
    assert done.returncode == 1
    assert "pagemap_pb2.pyi" in done.stderr


def test_code_without_a_source_is_noticed(tree: Path) -> None:
    (tree / "engine" / "images" / "proto" / "ids_pb2.py").rename(
        tree / "engine" / "images" / "proto" / "old_pb2.py"
    )
    done = check(tree)
    assert done.returncode == 1
    assert "ids_pb2.py" in done.stderr
    assert "old_pb2.py" in done.stderr
