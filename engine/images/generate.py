"""Makes the protobuf code from the `.proto` files: `python -m engine.images.generate [--check]`.

The generated code is committed, so that installing dirtytop needs no protoc. `--check` fails if it
is not what the `.proto` files say. It compares the descriptors and the names in the stubs, never
the text: another version of protoc words its output differently and means the same.
"""

from __future__ import annotations

import ast
import importlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

_PACKAGE: Final = "engine.images.proto"
_FOLDER: Final = Path(__file__).parent / "proto"
# protoc derives import statements from paths below the root that it is given.
_ROOT: Final = Path(__file__).parents[2]


def main(arguments: list[str]) -> int:
    """Generate, or with `--check` compare; returns the exit code."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m engine.images.generate [--check]", file=sys.stderr)
        return 2
    if not arguments:
        _protoc(f"--python_out={_ROOT}", f"--pyi_out={_ROOT}")
        return 0
    stale = list(_stale())
    for path in stale:
        print(f"{path} is not what the .proto files say: run `make proto`", file=sys.stderr)
    return 1 if stale else 0


def _protoc(*outputs: str) -> None:
    # Imported here: only who changes a .proto file needs it.
    from grpc_tools import protoc

    sources = sorted(str(path) for path in _FOLDER.glob("*.proto"))
    failed = protoc.main(["protoc", f"--proto_path={_ROOT}", *outputs, *sources])
    if failed:
        raise SystemExit("protoc failed")


def _stale() -> Iterator[Path]:
    """Committed files that do not match their source, and those without one."""
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        _protoc(f"--descriptor_set_out={fresh / 'set'}", f"--pyi_out={fresh}")
        wanted = FileDescriptorSet.FromString((fresh / "set").read_bytes()).file
        expected = set()
        for file in wanted:
            source = _ROOT / file.name
            stem = f"{source.stem}_pb2"
            code, stub = source.with_name(f"{stem}.py"), source.with_name(f"{stem}.pyi")
            expected |= {code, stub}
            if not code.exists() or _committed(stem) != _normal(file):
                yield code
            fresh_stub = fresh / stub.relative_to(_ROOT)
            if not stub.exists() or _declared(stub) != _declared(fresh_stub):
                yield stub
        yield from sorted(set(_FOLDER.glob("*_pb2.py*")) - expected)


def _committed(module: str) -> FileDescriptorProto:
    """The descriptor inside the committed code."""
    descriptor = importlib.import_module(f"{_PACKAGE}.{module}").DESCRIPTOR
    return _normal(FileDescriptorProto.FromString(descriptor.serialized_pb))


def _normal(file: FileDescriptorProto) -> FileDescriptorProto:
    """Without the JSON names, which protoc adds to a descriptor set and leaves out of code."""
    for message in file.message_type:
        _drop_json_names(message)
    return file


def _drop_json_names(message: DescriptorProto) -> None:
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        _drop_json_names(nested)


def _declared(stub: Path) -> set[str]:
    """The dotted names of every class and every attribute in a stub."""

    def names(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for statement in body:
            if isinstance(statement, ast.ClassDef):
                yield prefix + statement.name
                yield from names(statement.body, f"{prefix}{statement.name}.")
            elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                yield prefix + statement.target.id

    return set(names(ast.parse(stub.read_text()).body, ""))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
