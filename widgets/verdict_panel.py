"""When to dump: the verdict large, what it would cost, how right the last forecasts were, and the trigger."""

from __future__ import annotations

from textwrap import wrap
from typing import ClassVar, Final, NamedTuple

from textual.content import Content
from textual.reactive import reactive

from engine.forecast import words
from engine.forecast.estimate import Estimate
from engine.forecast.rounds import Plan
from engine.forecast.trigger import Armed, AtDeadline, Decision
from engine.forecast.truth import Outcome, Truth
from engine.forecast.verdict import Forecast, Verdict
from engine.images.layout import LinkKind
from widgets.big_letters import big_word
from widgets.columns import Span, fit_cell
from widgets.drawing import SpanView
from widgets.units import format_percent, say_bytes

_BIG_HEIGHT: Final = 8
"""Lines from which the verdict is in large letters."""
_LABEL: Final = "verdict-panel--label"


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
    return _Look("?", "NOT KNOWN YET", _LABEL)


class VerdictPanel(SpanView):
    """Large letters from eight lines on; two or three lines where there is no more room."""

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
    """Two or three lines, whatever room there is."""
    empty_text: reactive[str] = reactive(
        "Press a to arm, and wait for a few ticks: then it shows here what a dump would cost.", init=False
    )
    """What is said while nothing is known; literal."""

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._forecast: Forecast | None = None
        self._truth = Truth()
        self._trigger: tuple[Armed, Decision | None, float] | None = None
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
        self, armed: Armed | None, decision: Decision | None = None, time_s: float = 0.0
    ) -> None:
        """Show the trigger that waits, what it last decided, and what is left at `time_s` (monotonic)."""
        self._trigger = None if armed is None or armed.is_done else (armed, decision, time_s)
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
        large = [] if self.compact else self._large(width, height)
        is_big = bool(large) and (height == 0 or height >= min(_BIG_HEIGHT, len(large)))
        lines = large if is_big else self._small(width, height)
        return [fit_cell(line, width) for line in lines[: height or None]]

    # -- small

    def _small(self, width: int, height: int) -> list[list[Span]]:
        forecast, look = self._forecast, _look(self._forecast)
        first = [Span(f"{look.sign} {look.word}", look.style)]
        if forecast is None or not forecast.plans:
            return [first, [Span(self.empty_text, _LABEL)], *self._trigger_lines()]
        first += self._costs(forecast)
        second = [Span(forecast.text)]
        right = self._rightness()
        if right and sum(len(span.text) for span in (*second, *right)) + 3 <= width:
            second += [Span("   "), *right]
        lines = [first, second, *self._trigger_lines()]
        return lines if height != 1 else lines[:1]

    def _costs(self, forecast: Forecast) -> list[Span]:
        plan = _advised(forecast)
        return [
            Span("   stops ", _LABEL),
            Span(words.duration(plan.stopped_s.mid), "verdict-panel--figure"),
            Span(f" ({_range(plan.stopped_s)})", _LABEL),
            Span("   saves ", _LABEL),
            Span(say_bytes(plan.size_bytes.mid), "verdict-panel--figure"),
        ]

    # -- large

    def _large(self, width: int, height: int) -> list[list[Span]]:
        forecast, look = self._forecast, _look(self._forecast)
        lines = self._title(look, width, height)
        if forecast is None or not forecast.plans:
            return [*lines, *([Span(line, _LABEL)] for line in wrap(self.empty_text, max(width, 1)))]
        plan = _advised(forecast)
        lines += [
            [],
            [Span("stops   ", _LABEL), *_figure(words.duration(plan.stopped_s.mid), _range(plan.stopped_s))],
            [
                Span("saves   ", _LABEL),
                *_figure(say_bytes(plan.size_bytes.mid), f"{words.duration(plan.seconds.mid)} in all"),
            ],
            *([Span(line)] for line in wrap(forecast.text, max(width, 1))),
        ]
        details = [*self._trigger_lines(), *_plan_lines(forecast), self._rightness() or self._not_checked()]
        return [*lines, *details, *(_outcome_line(o) for o in self._truth.outcomes[-3:][::-1])]

    def _title(self, look: _Look, width: int, height: int) -> list[list[Span]]:
        """The word as large as there is room for: on one line, on two, or in plain letters."""
        whole = big_word(look.word)
        if len(whole[0]) <= width:
            return [[Span(line, look.style)] for line in whole]
        first, _, second = look.word.rpartition(" ")
        parts = [big_word(part) for part in (first, second) if part]
        if all(len(part[0]) <= width for part in parts) and (height == 0 or height >= _BIG_HEIGHT + 4):
            return [[Span(line, look.style)] for part in parts for line in part]
        return [[Span(f"{look.sign} {look.word}", look.style)]]

    # -- both

    def _rightness(self) -> list[Span]:
        pages, stops = self._truth.pages, self._truth.stops
        if not pages.count:
            return []
        said = f"off by {format_percent(pages.median)} in size"
        if stops.count:
            said += f", {format_percent(stops.median)} in stop"
        count = f"{pages.count} link{'s' if pages.count != 1 else ''}"
        return [Span("so far ", _LABEL), Span(said), Span(f" (median of {count})", _LABEL)]

    def _not_checked(self) -> list[Span]:
        return [Span("not yet checked: each link made is compared with its forecast", _LABEL)]

    def _trigger_lines(self) -> list[list[Span]]:
        if self._trigger is None:
            return []
        armed, decision, time_s = self._trigger
        line = [Span(f"armed: {armed.trigger.condition}", "verdict-panel--trigger")]
        left_s = armed.left_s(time_s)
        if left_s is not None:
            then = "dump anyhow" if armed.trigger.at_deadline is AtDeadline.DUMP else "give up"
            line.append(Span(f"  {words.duration(left_s)} left, then {then}"))
        if decision is not None:
            line.append(Span(f"  {decision.action.value}: {decision.reason}", _LABEL))
        return [line]


def _advised(forecast: Forecast) -> Plan:
    """The plan that the verdict is about."""
    if forecast.verdict is Verdict.WAIT and forecast.in_lull is not None:
        return forecast.in_lull
    return forecast.best


def _range(estimate: Estimate) -> str:
    return f"{words.duration(estimate.low)} to {words.duration(estimate.high)}"


def _figure(figure: str, about: str) -> list[Span]:
    return [Span(f"{figure:>8}", "verdict-panel--figure"), Span(f"   {about}", _LABEL)]


def _plan_lines(forecast: Forecast) -> list[list[Span]]:
    """Each link of the plan, aligned; and what a dump at once would cost, if that is not the plan."""
    plan = _advised(forecast)
    lines = []
    if plan.pre_dumps:
        for number, link in enumerate(plan.links, 1):
            is_dump = link.kind is LinkKind.DUMP
            stop = f"stops {words.duration(link.stopped_s.mid)}" if is_dump else ""
            name = "■ dump" if is_dump else f"{number} pre-dump"
            lines.append(
                [
                    Span(f"{name:<12}", _LABEL),
                    Span(f"{say_bytes(link.size_bytes.mid):>10}"),
                    Span(f"{words.duration(link.seconds.mid):>8}  {stop}", _LABEL),
                ]
            )
        now = forecast.now
        at_once = f"{'at once':<12}{say_bytes(now.size_bytes.mid):>10}{words.duration(now.seconds.mid):>8}"
        lines.append([Span(f"{at_once}  {words.stop(now.stopped_s.mid)}", _LABEL)])
    return lines


def _outcome_line(outcome: Outcome) -> list[Span]:
    """A link as it was foreseen and as it came."""
    sign = "■" if outcome.kind is LinkKind.DUMP else "•"
    each = outcome.foreseen.page_bytes
    said = f"{sign} said {say_bytes(outcome.foreseen.size_bytes.mid)}, was {say_bytes(outcome.pages * each)}"
    if outcome.kind is LinkKind.DUMP:
        foreseen, was = outcome.foreseen.stopped_s.mid, outcome.stopped_s
        said += f"; stop {words.duration(foreseen)}, was {words.duration(was)}"
    return [Span(said, _LABEL)]
