"""CRIU's options, as `dirtytop checkpoint --engine criu` takes them; named as CRIU names them."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from engine.checkpoint.criu.options import CriuOptions, NetworkLock, PreDumpMode

_Function = TypeVar("_Function", bound=Callable[..., Any])

CONFIG_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

_GIVEN: Final = "dirtytop.criu"
"""Where the context keeps what was given."""


def criu_options(function: _Function) -> _Function:
    """All of them; `given_options` has what they were set to."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def given_options() -> CriuOptions | None:
    """What the command under way was told of CRIU; None if nothing."""
    given: dict[str, Any] = click.get_current_context().meta.get(_GIVEN, {})
    return CriuOptions(**given) if given else None


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value not in (None, False):
        context.meta.setdefault(_GIVEN, {})[parameter.name] = value


def _keep_as(kind: type[Enum]) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def keep(context: click.Context, parameter: click.Parameter, name: str | None) -> None:
        _keep(context, parameter, None if name is None else kind(name))

    return keep


def _option(
    *names: str, callback: Callable[..., None] = _keep, **settings: Any
) -> Callable[[_Function], _Function]:
    return click.option(*names, callback=callback, expose_value=False, **settings)


def _choice(name: str, kind: type[Enum], meaning: str) -> Callable[[_Function], _Function]:
    values = click.Choice([member.value for member in kind])
    return _option(name, callback=_keep_as(kind), type=values, help=meaning)


_OPTIONS: Final = (
    _option("--shell-job", is_flag=True, help="criu: save a target that belongs to a shell or a terminal."),
    _option("--tcp-established", is_flag=True, help="criu: save open TCP connections."),
    _option("--ext-unix-sk", is_flag=True, help="criu: allow unix sockets whose other end is elsewhere."),
    _option("--file-locks", is_flag=True, help="criu: save file locks."),
    _option(
        "--ghost-limit",
        "ghost_limit_bytes",
        type=click.IntRange(0, 2**32 - 1),
        metavar="BYTES",
        help="criu: largest file to save that is deleted and still open; 1 MiB by default.",
    ),
    _choice(
        "--pre-dump-mode",
        PreDumpMode,
        "criu: how pre-dumps read pages: splice (the default) takes them all; read stops the target for "
        "less.",
    ),
    _choice(
        "--network-lock",
        NetworkLock,
        "criu: how packets are held off; auto, the default, does it only where connections are saved.",
    ),
    _option(
        "--criu-config",
        "config_file",
        type=CONFIG_FILE,
        metavar="FILE",
        help="criu: a file of its options, which overrule all others.",
    ),
)
