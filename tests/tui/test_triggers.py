"""Triggers in the dashboard: chosen, armed, seen, disarmed, and every end of theirs is told."""

from __future__ import annotations

from functools import partial
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Button, Input, Static

from engine.checkpoint.link import After
from engine.errors import LinkFailed, NotPermitted
from engine.forecast.triggers.armed import Action, Decision
from engine.forecast.triggers.conditions import AtDeadline, StopBelow
from engine.images.layout import LinkKind
from engine.tracking.sample import Event, EventKind, RateMode, TrackerKind
from tests.tui.machine import ADVICE, Launch, ScriptedMachine, Until, current, run, toasts
from tui import messages
from tui.app import DirtytopApp
from tui.screens.choice import Choice
from tui.screens.confirm import ConfirmScreen
from tui.screens.dump import DumpScreen
from tui.screens.target_strip import TargetStrip
from tui.screens.watch import WatchScreen
from tui.screens.when import WhenScreen
from tui.told import Told
from tui.wait import Waiting
from widgets.target_header import TargetHeader

POSTGRES = 40
TRAINING = 60


def header(app: DirtytopApp) -> str:
    panel = app.screen.query_one(TargetHeader)
    lines = panel.lines(panel.content_size.width, 0)
    return "\n".join("".join(span.text for span in line) for line in lines)


def logged(app: DirtytopApp) -> str:
    return "\n".join(line.text for line in current(app).log)


def is_on(app: DirtytopApp, screen: type[Any]) -> bool:
    return isinstance(app.screen, screen)


def wait_of(app: DirtytopApp) -> Waiting:
    wait = current(app).wait
    assert wait is not None
    return wait


async def open_dialog(pilot: Pilot[Any], app: DirtytopApp, until: Until) -> None:
    await until(pilot, lambda: current(app).is_armed and current(app).live.sample)
    await pilot.press("w")
    await until(pilot, partial(is_on, app, WhenScreen))


async def go_on(pilot: Pilot[Any], app: DirtytopApp, until: Until) -> None:
    """From what to wait for to where and how."""
    await pilot.press("ctrl+s")
    await until(pilot, partial(is_on, app, DumpScreen))
    await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)


async def arm(pilot: Pilot[Any], app: DirtytopApp, until: Until) -> Waiting:
    """Arm what is suggested."""
    await open_dialog(pilot, app, until)
    await go_on(pilot, app, until)
    await pilot.press("ctrl+s")
    await until(pilot, lambda: current(app).wait is not None and not wait_of(app).is_measuring)
    return wait_of(app)


def has_links(app: DirtytopApp, count: int) -> bool:
    return len(current(app).links) == count


def decide(app: DirtytopApp, wait: Waiting, action: Action, reason: str = "it stops for 14 ms") -> None:
    """Have the trigger say so."""
    app.post_message(Told(current(app), messages.TriggerDecided(wait.order, Decision(action, reason))))


async def test_it_is_chosen_armed_seen_and_disarmed_with_one_key(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await open_dialog(pilot, app, until)
        assert isinstance(app.screen.focused, Button), "Enter goes on with what is suggested"
        await go_on(pilot, app, until)
        assert "stop<100ms, at most 10 min, then dump anyway" in str(
            app.screen.query_one(".dialog").border_title
        )
        assert "Set" in str(app.screen.query_one("#make", Button).label)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "trigger stop<100ms · stop: unknown · " in header(app))
        assert "then dump anyway · c cancels" in header(app)
        assert machine.chains == [], "nothing is made before it fires"
        await pilot.press("c")
        await until(pilot, lambda: "trigger" not in header(app))
        assert current(app).wait is None
        assert "trigger stop<100ms cancelled: by you" in logged(app)


async def test_it_stays_in_view_while_the_view_is_frozen(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app, (80, 24)) as pilot:
        await arm(pilot, app, until)
        await pilot.press("p", "5")
        await until(pilot, lambda: "trigger stop<100ms" in header(app))


async def test_what_is_typed_is_what_is_waited_for(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await open_dialog(pilot, app, until)
        app.screen.query_one("#quiet", Input).focus()
        await pilot.press("4", "s")
        await until(pilot, lambda: app.screen.query_one("#kind-quiet", Choice).value)
        app.screen.query_one("#deadline", Input).value = ""
        app.screen.query_one("#then-GIVE_UP", Choice).value = True
        await go_on(pilot, app, until)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: current(app).wait is not None)
        trigger = wait_of(app).trigger
        assert (str(trigger), trigger.deadline_s) == ("quiet 4s", None)
        assert trigger.at_deadline is AtDeadline.GIVE_UP


async def test_what_makes_no_sense_cannot_be_armed_and_it_is_said_why(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await open_dialog(pilot, app, until)
        for line, value, why in (
            ("#stop", "fast", "is not a duration"),
            ("#stop", "50", "a unit is missing"),
            ("#deadline", "8 days", "is not a unit"),
        ):
            field = app.screen.query_one(line, Input)
            before, field.value = field.value, value
            await until(pilot, lambda: app.screen.query_one("#take", Button).disabled)
            assert why in str(app.screen.query_one("#problem", Static).content)
            await pilot.press("ctrl+s")
            assert is_on(app, WhenScreen)
            field.value = before
            await until(pilot, lambda: not app.screen.query_one("#take", Button).disabled)


async def test_when_is_also_chosen_in_the_dialog_of_a_dump(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("D")
        await until(pilot, partial(is_on, app, DumpScreen))
        await pilot.press("ctrl+t")
        await until(pilot, partial(is_on, app, WhenScreen))
        await go_on(pilot, app, until)
        await pilot.press("enter")
        await until(pilot, lambda: current(app).wait is not None)
        assert wait_of(app).trigger.condition == StopBelow(0.1)


async def test_what_it_asks_for_is_made_in_one_chain_and_then_it_is_over(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        wait = await arm(pilot, app, until)
        for count in (1, 2):
            decide(app, wait, Action.PRE_DUMP)
            await until(pilot, partial(has_links, app, count))
            assert current(app).wait is wait
        decide(app, wait, Action.DUMP)
        await until(pilot, lambda: len(current(app).links) == 3)
        assert [link.kind for link in current(app).links][-1] is LinkKind.DUMP
        assert len(machine.chains) == 1
        assert machine.afters == [After.RUN]
        assert current(app).wait is None
        assert "trigger stop<100ms: dump, it stops for 14 ms" in logged(app)


async def test_it_goes_on_with_the_chain_under_way(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("d")
        await until(pilot, partial(is_on, app, DumpScreen))
        await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)
        await pilot.press("enter")
        await until(pilot, lambda: len(current(app).links) == 1)
        wait = await arm(pilot, app, until)
        decide(app, wait, Action.DUMP)
        await until(pilot, lambda: len(current(app).links) == 2)
        assert len(machine.chains) == 1


async def test_a_decision_that_comes_after_it_was_disarmed_makes_nothing(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        wait = await arm(pilot, app, until)
        await pilot.press("c")
        decide(app, wait, Action.DUMP)
        await until(pilot, lambda: current(app).wait is None)
        assert machine.chains == []


async def test_giving_up_at_the_deadline_is_told(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        wait = await arm(pilot, app, until)
        decide(app, wait, Action.GIVE_UP, "the deadline has come, and no dump is made")
        await until(pilot, lambda: "the deadline has come, and no dump is made" in toasts(app))
        assert current(app).wait is None
        assert machine.chains == []


async def test_a_link_that_fails_disarms_it_and_says_why(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        wait = await arm(pilot, app, until)
        machine.link_error = LinkFailed("no space left on the disk")
        decide(app, wait, Action.DUMP)
        await until(pilot, lambda: "its dump failed: no space left on the disk" in toasts(app))
        assert current(app).wait is None


async def test_a_target_that_exits_disarms_it_and_it_is_said(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await arm(pilot, app, until)
        machine.exit(POSTGRES)
        await until(pilot, lambda: "the target has exited, and nothing was dumped" in toasts(app))
        assert current(app).wait is None


async def test_a_disk_that_takes_nothing_refuses_it_while_somebody_is_there(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: machine.calibrated)
        machine.calibration_error = LinkFailed("/full: too little space is left there")
        await open_dialog(pilot, app, until)
        await go_on(pilot, app, until)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "too little space is left there" in toasts(app))
        assert current(app).wait is None


async def test_it_goes_on_where_another_program_breaks_the_chain(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        wait = await arm(pilot, app, until)
        decide(app, wait, Action.PRE_DUMP)
        await until(pilot, lambda: len(current(app).links) == 1)
        machine.opened[POSTGRES].events.append(Event(EventKind.FOREIGN_CLEAR, POSTGRES, "cleared by another"))
        await until(pilot, lambda: "the next link will be full" in header(app))
        assert current(app).wait is wait
        assert "trigger stop<100ms" in header(app)
        decide(app, wait, Action.DUMP)
        await until(pilot, lambda: len(current(app).links) == 2)


async def test_a_cancelled_link_disarms_it(launch: Launch, machine: ScriptedMachine, until: Until) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        wait = await arm(pilot, app, until)
        machine.linking.clear()
        decide(app, wait, Action.DUMP)
        await until(pilot, lambda: current(app).is_busy)
        assert "making a link" in header(app)
        await pilot.press("c")
        await until(pilot, lambda: not current(app).is_busy)
        assert current(app).wait is None
        assert current(app).links == ()


async def test_dumping_by_hand_disarms_it_and_pre_dumping_says_who_does_that(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await arm(pilot, app, until)
        await pilot.press("d")
        await until(pilot, lambda: "makes the pre-dumps that pay" in toasts(app))
        assert current(app).wait is not None
        await pilot.press("D")
        await until(pilot, partial(is_on, app, DumpScreen))
        await until(pilot, lambda: not app.screen.query_one("#make", Button).disabled)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(current(app).links) == 1)
        assert current(app).wait is None
        assert "cancelled: it is dumped now" in logged(app)


async def test_one_that_kills_asks_when_it_is_armed(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await open_dialog(pilot, app, until)
        await go_on(pilot, app, until)
        app.screen.query_one("#after-kill", Choice).value = True
        await pilot.press("ctrl+s")
        await until(pilot, partial(is_on, app, ConfirmScreen))
        assert "when the trigger fires (stop<100ms)" in str(app.screen.query_one(".dialog").border_title)
        await pilot.press("enter")  # the harmless answer has the focus
        await until(pilot, partial(is_on, app, DumpScreen))
        assert current(app).wait is None
        await pilot.press("ctrl+s")
        await until(pilot, partial(is_on, app, ConfirmScreen))
        await pilot.click("#confirm")
        await until(pilot, lambda: current(app).wait is not None and not wait_of(app).is_measuring)
        decide(app, wait_of(app), Action.DUMP)
        await until(pilot, lambda: machine.afters == [After.KILL])


async def test_leaving_and_letting_go_ask_first(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await arm(pilot, app, until)
        for key, question in (("x", "Stop watching while"), ("q", "Leave while")):
            await pilot.press(key)
            await until(pilot, partial(is_on, app, ConfirmScreen))
            assert question in str(app.screen.query_one(".dialog").border_title)
            await pilot.press("escape")
            await until(pilot, partial(is_on, app, WatchScreen))
        assert current(app).wait is not None
        await pilot.press("q")
        await until(pilot, partial(is_on, app, ConfirmScreen))
        await pilot.click("#confirm")
        await until(pilot, lambda: not app.is_running)
    assert machine.chains == []


async def test_another_target_with_a_trigger_is_marked(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, TRAINING)
    async with run(app) as pilot:
        await arm(pilot, app, until)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "1 ◇ " in str(app.screen.query_one(TargetStrip).render()))
        assert "trigger" not in header(app)


async def test_arming_the_trigger_arms_the_tracker(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, arm=False)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        await pilot.press("w")
        await until(pilot, partial(is_on, app, WhenScreen))
        await go_on(pilot, app, until)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: current(app).is_armed)
        assert len(machine.calibrated) == 1, "once, where its links go"


async def test_what_is_decided_before_the_last_link_is_told_of_is_done_after_it(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        wait = await arm(pilot, app, until)
        machine.linking.clear()
        decide(app, wait, Action.PRE_DUMP)
        await until(pilot, lambda: current(app).is_busy)
        decide(app, wait, Action.DUMP)
        await until(pilot, lambda: wait.held is not None)
        machine.linking.set()
        await until(pilot, lambda: len(current(app).links) == 2)
        assert [link.kind for link in current(app).links] == [LinkKind.PRE_DUMP, LinkKind.DUMP]
        assert current(app).wait is None


async def test_a_click_on_the_verdict_asks_what_to_wait_for(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).is_armed and current(app).live.sample)
        await pilot.click("#verdict")
        await until(pilot, partial(is_on, app, WhenScreen))


async def test_a_program_that_would_be_suspended_could_not_fire(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await arm(pilot, app, until)
        app.action_suspend_process()
        await until(pilot, lambda: "could not fire" in toasts(app))


async def test_a_tracker_that_only_reads_tells_every_write_while_it_is_waited_for(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    machine.tracker = TrackerKind.SOFT_DIRTY
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await arm(pilot, app, until)
        tracking = machine.opened[POSTGRES]
        await until(pilot, lambda: tracking.mode is RateMode.REARMING)
        await pilot.press("c")
        await until(pilot, lambda: tracking.mode is RateMode.CUMULATIVE)


async def test_a_target_that_cannot_be_armed_is_not_waited_for(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES, arm=False)
    async with run(app) as pilot:
        await until(pilot, lambda: current(app).live.sample)
        machine.opened[POSTGRES].refuses = NotPermitted("process 40 belongs to another user")
        await pilot.press("w")
        await until(pilot, partial(is_on, app, WhenScreen))
        await go_on(pilot, app, until)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "belongs to another user" in toasts(app))
        assert current(app).wait is None


async def test_it_is_said_beforehand_what_would_dump_at_once(
    launch: Launch, machine: ScriptedMachine, until: Until
) -> None:
    app = launch(POSTGRES)
    async with run(app) as pilot:
        await open_dialog(pilot, app, until)
        machine.ticking.clear()
        sample = machine.opened[POSTGRES].sample(5)
        app.post_message(Told(current(app), messages.Sampled(sample, True, (), advice=ADVICE)))
        now = app.screen.query_one("#now-stop", Static)
        await until(pilot, lambda: str(now.content) == "now 40 ms: dumps at once")
        app.screen.query_one("#stop", Input).value = "30ms"
        await until(pilot, lambda: str(now.content) == "now 40 ms")
