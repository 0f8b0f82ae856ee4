"""From written bytes per second to colours and digits: nine levels, each four times the one below.

The levels are fixed, so that a colour means the same in every process and at every moment. Their colours
run from the theme's cold colour to its hot one, and their lightness goes evenly away from the background:
who cannot tell the hues apart, or prints in grey, still sees which is hotter. (Lightness and hue are those
of OKLab, https://bottosson.github.io/posts/oklab/.)
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from textual.color import Color

LEVELS: Final = 9
LEVEL_BYTES_PER_S: Final = tuple(4096.0 * 4**level for level in range(LEVELS))
"""From how many bytes a second on each level is: 4 KiB/s to 256 MiB/s."""
DIGITS: Final = "·123456789"
"""What the levels look like where there are no colours; the first: nothing was written."""

_BOUNDS: Final = np.array(LEVEL_BYTES_PER_S[1:])
_NEAREST: Final = 0.13
_FARTHEST_DARK: Final = 0.95
_FARTHEST_LIGHT: Final = 0.30
_LEAST_CHROMA: Final = 0.10


def levels_of(bytes_per_s: NDArray[np.float64]) -> NDArray[np.int8]:
    """The level of each rate: 0 for nothing, 1 to 9; -1 where it is NaN, for not known.

    Anything that is written is at least on level 1.
    """
    levels = np.searchsorted(_BOUNDS, bytes_per_s, side="right").astype(np.int8) + 1
    levels[~(bytes_per_s > 0)] = 0
    levels[np.isnan(bytes_per_s)] = -1
    return levels


def ramp(background: Color, cold: Color, hot: Color) -> tuple[Color, ...]:
    """Nine colours for levels 1 to 9 on this background, ever farther from it in lightness."""
    ground, _, _ = _lch_of(background)
    _, cold_chroma, cold_hue = _lch_of(cold)
    _, hot_chroma, hot_hue = _lch_of(hot)
    is_dark = ground < 0.5
    nearest = ground + _NEAREST if is_dark else ground - _NEAREST
    farthest = max(_FARTHEST_DARK, nearest) if is_dark else min(_FARTHEST_LIGHT, nearest)
    turn = (hot_hue - cold_hue + math.pi) % (2 * math.pi) - math.pi
    colours = []
    for step in range(LEVELS):
        share = step / (LEVELS - 1)
        chroma = max(_LEAST_CHROMA, cold_chroma + (hot_chroma - cold_chroma) * share)
        lightness = nearest + (farthest - nearest) * share
        colours.append(_colour(lightness, chroma, cold_hue + turn * share))
    return tuple(colours)


def _lch_of(colour: Color) -> tuple[float, float, float]:
    red, green, blue = (_linear(part / 255) for part in colour.rgb)
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    middle = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    lightness = 0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short
    a = 1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short
    b = 0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short
    return lightness, math.hypot(a, b), math.atan2(b, a)


def _colour(lightness: float, chroma: float, hue: float) -> Color:
    """The nearest there is: a colour no screen can show is made paler, not lighter or darker."""
    while chroma > 0.001:
        parts = _rgb_of(lightness, chroma, hue)
        if all(-0.001 <= part <= 1.001 for part in parts):
            break
        chroma *= 0.95
    else:
        parts = _rgb_of(lightness, 0.0, hue)
    red, green, blue = (round(255 * _gamma(min(max(part, 0.0), 1.0))) for part in parts)
    return Color(red, green, blue)


def _rgb_of(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    """Linear red, green and blue; beyond 0 to 1 where the colour cannot be shown."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def _gamma(part: float) -> float:
    return 12.92 * part if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055
