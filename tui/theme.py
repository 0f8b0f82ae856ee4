"""The look: a calm pair of themes in which only what is being written stands out."""

from __future__ import annotations

from typing import Final

from textual.theme import BUILTIN_THEMES, Theme

DARK: Final = Theme(
    name="dirtytop-dark",
    primary="#7aa2d6",
    secondary="#6b7f99",
    accent="#e8a15a",
    success="#83b98c",
    warning="#d9b45f",
    error="#d9707a",
    foreground="#c8d0dc",
    background="#10141a",
    surface="#151a22",
    panel="#1e2530",
    dark=True,
    variables={
        "block-cursor-background": "#2b3b52",
        "block-cursor-foreground": "#e9eef5",
        "block-cursor-text-style": "none",
        "border": "#4c617d",
        "border-blurred": "#2a3340",
        "footer-background": "#10141a",
        "footer-key-foreground": "#e8a15a",
        "footer-description-foreground": "#8b97a8",
        "input-selection-background": "#7aa2d6 35%",
        "scrollbar": "#2a3340",
        "scrollbar-hover": "#3a475a",
        "scrollbar-active": "#4c617d",
        "scrollbar-background": "#10141a",
        "scrollbar-background-hover": "#10141a",
        "scrollbar-background-active": "#10141a",
    },
)

LIGHT: Final = Theme(
    name="dirtytop-light",
    primary="#2f5f9e",
    secondary="#5c6b80",
    accent="#b4600f",
    success="#2f7d4a",
    warning="#946400",
    error="#b3303c",
    foreground="#2a323d",
    background="#f7f8fa",
    surface="#eff1f5",
    panel="#e2e6ec",
    dark=False,
    variables={
        "block-cursor-background": "#cfdcef",
        "block-cursor-foreground": "#1b222b",
        "block-cursor-text-style": "none",
        "border": "#8094b0",
        "border-blurred": "#cdd4de",
        "footer-background": "#f7f8fa",
        "footer-key-foreground": "#b4600f",
        "footer-description-foreground": "#5c6b80",
        "input-selection-background": "#2f5f9e 25%",
        "scrollbar": "#cdd4de",
        "scrollbar-hover": "#b5bfcd",
        "scrollbar-active": "#8094b0",
        "scrollbar-background": "#f7f8fa",
        "scrollbar-background-hover": "#f7f8fa",
        "scrollbar-background-active": "#f7f8fa",
    },
)

THEMES: Final = (DARK, LIGHT)
DEFAULT_THEME: Final = DARK.name


def theme_names() -> tuple[str, ...]:
    """Every theme there is, ours first."""
    return tuple(dict.fromkeys([theme.name for theme in THEMES] + sorted(BUILTIN_THEMES)))
