from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tui.app import DirtytopApp
from tui.desk import Options
from tui.settings import (
    INTERVALS_S,
    Settings,
    load_settings,
    next_above,
    next_below,
    save_settings,
)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    settings = Settings(
        theme="nord",
        interval_s=2.0,
        vma_sort="-rate",
        hot_only=True,
        show_log=False,
        last_directory="/a [b]\n",
    )
    save_settings(settings, tmp_path / "new" / "settings.toml")
    assert load_settings(tmp_path / "new" / "settings.toml") == (settings, "")


def test_a_missing_file_is_no_problem(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "settings.toml") == (Settings(), "")


@pytest.mark.parametrize("content", [b"theme = ", b"\xff\xfe", b"[[[", b"\x00"])
def test_a_file_that_is_no_toml_gives_the_defaults_and_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(content)
    settings, problem = load_settings(path)
    assert settings == Settings()
    assert "settings" in problem
    assert "\n" not in problem


def test_a_directory_in_the_files_place_gives_the_defaults_and_one_line(tmp_path: Path) -> None:
    settings, problem = load_settings(tmp_path)
    assert settings == Settings()
    assert problem


@pytest.mark.parametrize("wrong", ["interval_s = 0", "interval_s = nan", 'interval_s = "1"', "hot_only = 1"])
def test_a_wrong_value_is_ignored_and_named_while_the_others_hold(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f'theme = "nord"\nunknown = 7\n{wrong}\n')
    settings, problem = load_settings(path)
    assert settings == Settings(theme="nord")
    assert wrong.split()[0] in problem
    assert "unknown" not in problem


def test_a_whole_number_of_seconds_is_an_interval(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("interval_s = 5\n")
    assert load_settings(path) == (Settings(interval_s=5.0), "")


def test_the_file_is_private_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    save_settings(Settings(), path)
    save_settings(Settings(theme="nord"), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.mkdir()  # a rename onto it fails
    with pytest.raises(OSError):
        save_settings(Settings(), path)
    assert list(tmp_path.iterdir()) == [path]


def test_intervals_go_up_and_down_to_their_ends() -> None:
    assert next_above(INTERVALS_S, 1.0) == 2.0
    assert next_below(INTERVALS_S, 1.0) == 0.5
    assert next_above(INTERVALS_S, 0.7) == 1.0
    assert next_below(INTERVALS_S, 0.7) == 0.5
    assert next_above(INTERVALS_S, INTERVALS_S[-1]) == INTERVALS_S[-1]
    assert next_below(INTERVALS_S, INTERVALS_S[0]) == INTERVALS_S[0]


async def test_the_command_line_goes_before_the_file_and_is_not_remembered() -> None:
    settings = Settings(theme="nord", interval_s=5.0)
    app = DirtytopApp(Options(theme="gruvbox", interval_s=0.5), settings=settings)
    assert app.theme == "gruvbox"
    assert app.desk.interval_s == 0.5
    assert app.remembered() == settings


async def test_a_theme_that_is_not_known_gives_our_own() -> None:
    app = DirtytopApp(settings=Settings(theme="no such theme"))
    assert app.theme == "dirtytop-dark"
