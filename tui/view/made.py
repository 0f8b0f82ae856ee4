"""Makes what is shown of a target out of what is known of it: pure functions, without a screen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from engine.printable import printable
from engine.tracking.cost_words import say_budget
from engine.tracking.sample import Sample
from tui.view.facts import Facts, Stage
from tui.view.shown import Banner, ChainShown, Past, TargetView
from tui.words import inflation_text, lent_text
from widgets.measured import has_rates, is_tracked
from widgets.target_header import Notice, TargetState, TargetStatus
from widgets.target_trends import TargetTrend

TREND_TICKS: Final = 60


def view_of(facts: Facts, *, readonly: bool, now_s: float) -> TargetView:
    """All that is shown of one target.

    Args:
        facts: all that is known of it.
        readonly: whether nothing is to be done to targets.
        now_s: as `Clock.monotonic`.
    """
    return TargetView(
        facts=facts,
        status=_status(facts, now_s),
        trend=_trend(facts),
        banner=_banner(facts, readonly),
        chain=_chain(facts),
        past=Past(facts.look, facts.marks, _why_no_past(facts, readonly)),
        armed=facts.live.advice.armed if facts.wait is not None else None,
        no_forecast_text=_why_no_forecast(facts, readonly),
    )


def _state(facts: Facts) -> TargetState:
    if facts.stage is Stage.GONE:
        return TargetState.GONE
    if facts.paused is not None:
        return TargetState.PAUSED
    return TargetState.ARMED if facts.is_armed else TargetState.NOT_ARMED


def _status(facts: Facts, now_s: float) -> TargetStatus:
    """What the header says; the clock of its badge is how long it has been so."""
    sample = facts.look.sample
    since_s = sample.elapsed_s if sample else 0.0
    return TargetStatus(
        pid=facts.pid,
        command=facts.command,
        state=_state(facts),
        tracker=facts.tracker,
        interval_set_s=facts.interval_s,
        process_count=len(sample.processes) if sample else 1,
        mode=sample.mode if sample else None,
        armed_s=now_s - facts.paused.since_s if facts.paused is not None else since_s,
        interval_measured_s=_if_measured(sample, sample.interval_s) if sample else 0.0,
        tick_ms=sample.tick_ms if sample else 0.0,
        cost_fraction=_if_measured(sample, sample.cost_fraction) if sample else 0.0,
        stopped_us=sample.stopped_us if sample else 0,
        is_lent=facts.is_lent,
        notices=tuple(_notices(facts, sample)),
    )


def _if_measured(sample: Sample, figure: float) -> float:
    """A figure that a tick's interval makes; not known of a tick that has hardly any behind it."""
    return math.nan if is_tracked(sample) and not has_rates(sample) else figure


def _notices(facts: Facts, sample: Sample | None) -> Iterator[Notice]:
    if facts.full_text:
        yield Notice(facts.full_text, "error")
    if facts.is_lent:
        where = facts.chain_directory
        # Its name alone: a line of the header has no room for more, and the chain's panel tells as much.
        yield Notice(lent_text(Path(where.name) if where is not None else None), "warning")
    if facts.wait is not None:  # of the last tick, even while the view is frozen: it may fire any time
        yield Notice(facts.wait.line(facts.live.advice, is_busy=facts.is_busy), "information")
    if sample is not None and sample.is_slowed:
        yield Notice(
            f"ticks come later than asked for, to keep the {say_budget(sample.budget)}", "information"
        )
    if sample is not None and facts.is_armed and sample.unarmed_count:
        text = f"{sample.unarmed_count} young children are not tracked: {say_budget(sample.budget)}"
        yield Notice(text, "information")
    if sample is not None and sample.huge_inflation_pages:
        yield Notice(inflation_text(sample), "information")


def _trend(facts: Facts) -> TargetTrend:
    """The target in one line, beside the others."""
    look, forecast = facts.look, facts.look.advice.forecast
    rates = np.array([point.bytes_per_s for point in look.history[-TREND_TICKS:]], np.float32)
    return TargetTrend(
        facts.pid,
        facts.command or "…",
        TargetState.GONE if facts.is_over else _state(facts),
        np.nan_to_num(rates, nan=0.0),
        float(facts.pending_bytes),
        forecast.verdict,
        forecast.best.stopped_s.mid if forecast.plans else None,
        facts.is_busy,
        facts.wait is not None,
    )


def _banner(facts: Facts, readonly: bool) -> Banner:
    match facts.stage:
        case Stage.OPENING:
            return Banner(f"opening process {facts.pid} …")
        case Stage.REFUSED:
            error = facts.error
            hint = f" — {error.hint}" if error and error.hint else ""
            return Banner(printable(f"{error.message if error else 'cannot be watched'}{hint}"), "error")
        case Stage.GONE:
            said = "The target has exited. What was seen of it stays; o picks another process."
            return Banner(said, "warning")
    if facts.paused is not None:
        return Banner("paused: sampling goes on; p shows what happens again", "warning")
    if readonly:
        return Banner("read-only: nothing is armed, nothing is dumped")
    return Banner() if facts.is_armed else Banner("not armed: a shows every write from then on")


def _chain(facts: Facts) -> ChainShown:
    name = printable(facts.chain.directory.name) if facts.chain is not None else ""
    return ChainShown(facts.links, name, facts.full_text, _what_next(facts), facts.progress)


def _what_next(facts: Facts) -> str:
    """What a chain is for, step by step."""
    if facts.open_chain is not None:
        steps = "d adds what changed", "D ends it", "l opens it"
    elif facts.newest_restorable is not None:
        steps = "ended", "y copies its restore", "l opens it"
    else:
        steps = "ended", "l opens it", "d begins another"
    # Lines are broken between steps and not within them.
    return " · ".join(step.replace(" ", "\N{NO-BREAK SPACE}") for step in steps)


def _why_no_forecast(facts: Facts, readonly: bool) -> str:
    """What is to be done, or waited for, while nothing is foreseen."""
    if readonly:
        return "Read-only: there is no forecast of what a dump would cost."
    if not facts.is_armed:
        return "Press a to arm: after a few ticks this tells what a dump would cost."
    return "A few ticks more, and a look at the disk: then this tells what a dump costs."


def _why_no_past(facts: Facts, readonly: bool) -> str:
    """What is to be done, or waited for, while there is nothing to draw."""
    if facts.is_armed:
        return "Armed: with the next ticks it shows here which memory is written, and how much of it."
    if readonly:
        return "Read-only: nothing is armed, so nothing shows here."
    return "Nothing is tracked yet. Press a to arm: then it shows here which memory is written."
