"""When to dump: the verdict large, what it would cost, how right the last forecasts were, and the trigger."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import ClassVar, Final, NamedTuple

from textual.content import Content
from textual.reactive import reactive

from engine.forecast.plans.truth import Truth
from engine.forecast.plans.verdict import Forecast, Verdict
from engine.forecast.triggers.armed import Armed, Decision
from engine.forecast.triggers.conditions import AtDeadline
from engine.forecast.triggers.progress import TriggerProgress
from engine.units import format_percent, say_bytes, say_duration, split_bytes
from widgets.big_letters import big_word, huge_word
from widgets.blocks import fit_in_places, leading_that_fit, length_of, placed
from widgets.columns import Span, fit_cell
from widgets.drawing import SpanView
from widgets.verdict_lines import (
    FIGURE,
    LABEL,
    TRIGGER,
    advised,
    figure,
    gauge_line,
    outcome_line,
    plan_lines,
    range_of,
)

_BIG_HEIGHT: Final = 5
"""Lines from which there is more than the verdict in large letters and a sentence."""
_LOW_HEIGHT: Final = 4
"""Lines from which the verdict is in large letters where there is little room."""
_ROOMY: Final = 8
"""Lines from which all is told, though little room was asked for."""
_HUGE_HEIGHT: Final = 10
"""Lines from which letters are five lines high."""
_TWO_COLUMNS: Final = 104
"""Cells from which what was foreseen stands beside how right that was."""
_LOW_GAP: Final = 2
_WIDE_GAP: Final = 4
_PLACES: Final = (0.0, 0.42, 0.72)
"""Where verdict, stop and bytes begin, as shares of the width."""
_LOW_PLACES: Final = (0.0, 0.49, 0.73)
_ALL_SHOWN: Final = 3
_WHOLE_FROM: Final = 100
"""Large figures from here on have no decimals."""
_OUTCOMES: Final = 4


class _Look(NamedTuple):
    sign: str
    word: str
    style: str


def _look(forecast: Forecast | None) -> _Look:
    """Colour, sign and word: each alone says it."""
    verdict = forecast.verdict if forecast is not None else Verdict.UNKNOWN
    good, fair, bad = (f"verdict-panel--{name}" for name in ("good", "fair", "bad"))
    match verdict:
        case Verdict.DUMP_NOW:
            meets = forecast is not None and (forecast.meets_budget or forecast.budget_s == 0)
            return _Look("✔", "DUMP NOW", good if meets else fair)
        case Verdict.PRE_DUMP:
            return _Look("▲", "PRE-DUMP", fair)
        case Verdict.WAIT:
            return _Look("▲", "WAIT", fair)
        case Verdict.WILL_NOT_CONVERGE:
            return _Look("✗", "WILL NOT CONVERGE", bad)
    return _Look("?", "NOT KNOWN YET", LABEL)


class VerdictPanel(SpanView):
    """Verdict, stop and bytes in large letters; two or three plain lines where there is no more room."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "verdict-panel--good",
        "verdict-panel--fair",
        "verdict-panel--bad",
        "verdict-panel--label",
        "verdict-panel--figure",
        "verdict-panel--trigger",
    }

    DEFAULT_CSS = """
    VerdictPanel {
        width: 1fr;
        height: auto;
        min-height: 2;
        border: round $border-blurred;
        border-title-color: $foreground 80%;
        border-subtitle-color: $foreground 60%;
        padding: 0 1;
        & > .verdict-panel--good { color: $text-success; text-style: bold; }
        & > .verdict-panel--fair { color: $text-warning; text-style: bold; }
        & > .verdict-panel--bad { color: $text-error; text-style: bold; }
        & > .verdict-panel--label { color: $foreground 60%; }
        & > .verdict-panel--figure { color: $foreground; text-style: bold; }
        & > .verdict-panel--trigger { color: $text-accent; }
        &:ansi {
            & > .verdict-panel--label { color: ansi_default; text-style: dim; }
            & > .verdict-panel--figure { color: ansi_default; }
        }
    }
    """

    compact: reactive[bool] = reactive(False, init=False)
    """Four lines, whatever room there is."""
    empty_text: reactive[str] = reactive(
        "Press a to arm: after a few ticks this tells what a dump would cost.", init=False
    )
    """What is said while nothing is known; literal."""

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._forecast: Forecast | None = None
        self._truth = Truth()
        self._trigger: tuple[Armed, Decision | None, float, tuple[TriggerProgress, ...]] | None = None
        self.border_title = Content("when to dump")

    def show_forecast(self, forecast: Forecast | None) -> None:
        """Show this; None: there is none."""
        if forecast != self._forecast:
            self._forecast = forecast
            self._changed()

    def show_truth(self, truth: Truth) -> None:
        """Show how right forecasts were."""
        if truth != self._truth:
            self._truth = truth
            self._changed()

    def show_trigger(
        self,
        armed: Armed | None,
        decision: Decision | None = None,
        time_s: float = 0.0,
        gauges: Sequence[TriggerProgress] = (),
    ) -> None:
        """Show the trigger that waits, what it last decided, and what is left at `time_s` (monotonic).

        Gauges, if there are any, are shown in place of the decision: how near it is says more than why not.
        """
        is_shown = armed is not None and not armed.is_done
        trigger = (armed, decision, time_s, tuple(gauges)) if armed is not None and is_shown else None
        if trigger != self._trigger:
            self._trigger = trigger
            self._changed()

    def watch_compact(self) -> None:
        """Take less room, or more."""
        self.redraw(layout=True)

    def watch_empty_text(self) -> None:
        """Say so at once."""
        self.redraw(layout=True)

    def _changed(self) -> None:
        # A new layout of the whole screen at every tick would cost more than all else here.
        self.redraw(layout=self.is_mounted and self.styles.is_auto_height and self._needs_other_height())

    def _needs_other_height(self) -> bool:
        return len(self.lines(self.content_size.width, 0)) != self.content_size.height

    def lines(self, width: int, height: int) -> list[list[Span]]:
        """The verdict first; what matters least is left out first."""
        forecast = self._forecast
        is_low = self.compact and height < _ROOMY  # maximized it has room, whatever the screen
        if is_low and 0 < height < _LOW_HEIGHT:
            lines = self._small(width, height)
        elif forecast is None or not forecast.plans:
            lines = self._unknown(width, height)
        elif is_low:
            lines = self._low(forecast, width)
        elif 0 < height < _BIG_HEIGHT:
            lines = self._small(width, height)
        else:
            lines = self._large(forecast, width, height)
        return [fit_cell(line, width) for line in lines[: height or None]]

    # -- small: two or three lines

    def _small(self, width: int, height: int) -> list[list[Span]]:
        forecast, look = self._forecast, _look(self._forecast)
        first = [Span(f"{look.sign} {look.word}", look.style)]
        if forecast is None or not forecast.plans:
            return [first, [Span(self.empty_text, LABEL)], *self._trigger_lines(width)]
        first += self._costs(forecast)
        lines = [first, self._in_words(forecast, width), *self._trigger_lines(width)]
        return lines if height != 1 else lines[:1]

    def _costs(self, forecast: Forecast, *, with_range: bool = True) -> list[Span]:
        plan = advised(forecast)
        return [
            Span("   stops for ", LABEL),
            Span(say_duration(plan.stopped_s.mid), FIGURE),
            Span(f" ({range_of(plan.stopped_s)})" if with_range else "", LABEL),
            Span("   saves ", LABEL),
            Span(say_bytes(plan.size_bytes.mid), FIGURE),
        ]

    def _in_words(self, forecast: Forecast, width: int) -> list[Span]:
        """The verdict as a sentence, and how right the last ones were if there is room."""
        line = [Span(forecast.text)]
        right = self._rightness()
        for shown in (right, right[:1]):
            if shown and length_of(line) + length_of(shown) + 3 <= width:
                return [*line, Span("   "), *shown]
        return line

    # -- low: large letters in four lines

    def _low(self, forecast: Forecast, width: int) -> list[list[Span]]:
        lines, shown = self._headline(forecast, width, _LOW_PLACES, _LOW_GAP)
        if shown == _ALL_SHOWN:
            said = self._in_words(forecast, width)
        else:
            said = [Span(forecast.text.partition(": ")[2]), *self._costs(forecast, with_range=False)]
        return [*lines, said, *self._trigger_lines(width)]

    # -- large: large letters, what they mean, and how right it was

    def _unknown(self, width: int, height: int) -> list[list[Span]]:
        look = _look(self._forecast)
        word = big_word(look.word)
        said = [[Span(line, LABEL)] for line in wrap(self.empty_text, max(width, 1))]
        # What to do next matters more than large letters.
        is_big = len(word[0]) <= width and not 0 < height < len(word) + len(said)
        title = word if is_big else (f"{look.sign} {look.word}",)
        return [*([Span(line, look.style)] for line in title), *said, *self._trigger_lines(width)]

    def _large(self, forecast: Forecast, width: int, height: int) -> list[list[Span]]:
        plan = advised(forecast)
        huge = height >= _HUGE_HEIGHT
        lines, shown = self._headline(forecast, width, _PLACES, _WIDE_GAP, huge=huge)
        if shown < _ALL_SHOWN:
            lines, shown = self._headline(forecast, width, _PLACES, _WIDE_GAP)
        columns = 2 if width >= _TWO_COLUMNS else 1
        column = (width - (columns - 1) * _WIDE_GAP) // columns
        about = f"stops for {range_of(plan.stopped_s)}; saves {say_bytes(plan.size_bytes.mid)}"
        said = [[Span(line)] for line in wrap(forecast.text, max(column, 1))]
        said.append([Span(f"{about} in {say_duration(plan.seconds.mid)}", LABEL)])
        trigger, links = self._trigger_lines(column), plan_lines(forecast)
        checked = [self._rightness() or self._not_checked()]
        came = [outcome_line(outcome) for outcome in self._truth.outcomes[-_OUTCOMES:][::-1]]
        if columns == 1:
            return [*lines, *said, *trigger, *checked, *links, *came]
        left, right = [*said, *links], [*trigger, *checked, *came]
        return [*lines, *placed([(left, column), (right, column)], [0, column + _WIDE_GAP])]

    def _headline(
        self, forecast: Forecast, width: int, shares: Sequence[float], gap: int, *, huge: bool = False
    ) -> tuple[list[list[Span]], int]:
        """The verdict, the stop and the bytes in large letters; as many of the three as there is room for.

        Returns:
            The lines, all equally long, and how many of the three there are; 0: the word in plain letters.
        """
        look, plan = _look(forecast), advised(forecast)
        spell = huge_word if huge else big_word
        stop, stop_unit = say_duration(plan.stopped_s.mid).split(" ")
        size, size_unit = split_bytes(plan.size_bytes.mid)
        if float(size) >= _WHOLE_FROM:
            size = f"{float(size):.0f}"
        letters = [[Span(line, look.style)] for line in spell(look.word)]
        blocks = [
            (letters, length_of(letters[0])),
            figure(spell(stop), "stop", stop_unit, look.style),
            figure(spell(size), "save", size_unit, FIGURE),
        ]
        # Where there is room, each has its place: when one changes, the others do not move.
        places = [int(share * width) for share in shares]
        if not fit_in_places(blocks, places, width, gap):
            blocks, places = leading_that_fit(blocks, width, gap)
        if not blocks:
            return [[Span(f"{look.sign} {look.word}", look.style)]], 0
        return placed(blocks, places), len(blocks)

    # -- all of them

    def _rightness(self) -> list[Span]:
        pages, stops = self._truth.pages, self._truth.stops
        if not pages.count:
            return []
        said = f"off by {format_percent(pages.median)} in size"
        if stops.count:
            said += f", {format_percent(stops.median)} in stop"
        count = f"{pages.count} link{'s' if pages.count != 1 else ''}"
        return [Span(said), Span(f" (median of {count})", LABEL)]

    def _not_checked(self) -> list[Span]:
        return [Span("not yet checked: each link is compared with its forecast", LABEL)]

    def _trigger_lines(self, width: int) -> list[list[Span]]:
        """What is armed, and a bar for each thing that it waits for."""
        if self._trigger is None:
            return []
        armed, decision, time_s, gauges = self._trigger
        line = [Span(f"trigger: {armed.trigger}", TRIGGER)]
        left_s = armed.left_s(time_s)
        if left_s is not None:
            then = "dump anyway" if armed.trigger.at_deadline is AtDeadline.DUMP else "give up"
            line.append(Span(f"  {say_duration(left_s)} left, then {then}"))
        if decision is not None and not gauges:
            line.append(Span(f"  {decision.action.value}: {decision.reason}", LABEL))
        return [line, *(gauge_line(gauge, width) for gauge in gauges)]
