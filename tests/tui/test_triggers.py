"""Triggers in the dashboard: chosen, armed, seen, disarmed, and every end of theirs is told."""

from __future__ import annotations

from textual.widgets import Button, Input, Static

from engine.checkpoint.link import After
from engine.errors import LinkFailed, NotPermitted
from engine.forecast.triggers.armed import Action, Decision
from engine.forecast.triggers.conditions import AtDeadline, StopBelow
from engine.images.layout import LinkKind
from engine.tracking.sample import RateMode, TrackerKind
from tests.tui.driver import POSTGRES, TRAINING, Dash, Dashboard
from tests.tui.machine import ADVICE, ScriptedMachine
from tui import messages
from tui.orders import Wait
from tui.screens.choice import Choice
from tui.screens.confirm import ConfirmScreen
from tui.screens.dump.screen import DumpScreen
from tui.screens.target_strip import TargetStrip
from tui.screens.watch import WatchScreen
from tui.screens.when import WhenScreen


async def go_on(dash: Dash) -> None:
    """From what to wait for to where and how."""
    await dash.opens(DumpScreen, "ctrl+s")
    await dash.possible()


async def arm(dash: Dash, *keys: str) -> Wait:
    """Arm what is suggested, or what a dialog that is open says."""
    if not keys:
        await dash.opens(WhenScreen, "w")
        await go_on(dash)
    await dash.press(*(keys or ("ctrl+s",)))
    await dash.until(lambda: dash.facts.wait is not None and not dash.facts.wait.is_measuring)
    assert dash.facts.wait is not None
    return dash.facts.wait.order


def decide(dash: Dash, wait: Wait, action: Action, reason: str = "it stops for 14 ms") -> None:
    """Have the trigger say so."""
    dash.tell(messages.TriggerDecided(wait, Decision(action, reason)))


async def test_it_is_chosen_armed_seen_and_disarmed_with_one_key(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.opens(WhenScreen, "w")
        assert isinstance(dash.app.screen.focused, Button), "Enter goes on with what is suggested"
        await go_on(dash)
        assert "stop<100ms, at most 10 min, then dump anyway" in str(dash.one(".dialog").border_title)
        assert "Set" in str(dash.one("#make", Button).label)
        await dash.press("ctrl+s")
        await dash.sees("trigger stop<100ms · stop: unknown · ")
        assert "then dump anyway · c cancels" in dash.header
        assert dash.machine.chains == [], "nothing is made before it fires"
        await dash.press("c")
        await dash.until(lambda: "trigger" not in dash.header)
        assert not dash.waits()
        assert "trigger stop<100ms cancelled: by you" in dash.log


async def test_it_stays_in_view_while_the_view_is_frozen(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, size=(80, 24)) as dash:
        await arm(dash)
        await dash.press("p", "5")
        await dash.sees("trigger stop<100ms")


async def test_what_is_typed_is_what_is_waited_for(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.opens(WhenScreen, "w")
        dash.one("#quiet", Input).focus()
        await dash.press("4", "s")
        await dash.until(lambda: dash.one("#kind-quiet", Choice).value)
        dash.fill("#deadline", "")
        dash.choose("#then-GIVE_UP")
        await go_on(dash)
        trigger = (await arm(dash, "ctrl+s")).trigger
        assert (str(trigger), trigger.deadline_s) == ("quiet 4s", None)
        assert trigger.at_deadline is AtDeadline.GIVE_UP


async def test_what_makes_no_sense_cannot_be_armed_and_it_is_said_why(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.opens(WhenScreen, "w")
        for line, value, why in (
            ("#stop", "fast", "is not a duration"),
            ("#stop", "50", "a unit is missing"),
            ("#deadline", "8 days", "is not a unit"),
        ):
            field = dash.one(line, Input)
            before, field.value = field.value, value
            await dash.until(lambda: dash.one("#take", Button).disabled)
            assert why in str(dash.one("#problem", Static).content)
            await dash.press("ctrl+s")
            assert dash.is_on(WhenScreen)
            field.value = before
            await dash.until(lambda: not dash.one("#take", Button).disabled)


async def test_when_is_also_chosen_in_the_dialog_of_a_dump(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.opens(DumpScreen, "D")
        await dash.opens(WhenScreen, "ctrl+t")
        await go_on(dash)
        assert (await arm(dash, "enter")).trigger.condition == StopBelow(0.1)


async def test_what_it_asks_for_is_made_in_one_chain_and_then_it_is_over(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        wait = await arm(dash)
        for count in (1, 2):
            decide(dash, wait, Action.PRE_DUMP)
            await dash.links(count)
            assert dash.waits()
        decide(dash, wait, Action.DUMP)
        await dash.links(3)
        assert [link.kind for link in dash.facts.links][-1] is LinkKind.DUMP
        assert len(dash.machine.chains) == 1
        assert dash.machine.afters == [After.RUN]
        assert not dash.waits()
        assert "trigger stop<100ms: dump, it stops for 14 ms" in dash.log


async def test_it_goes_on_with_the_chain_under_way(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.opens(DumpScreen, "d")
        await dash.go_on("enter")
        await dash.links(1)
        wait = await arm(dash)
        decide(dash, wait, Action.DUMP)
        await dash.links(2)
        assert len(dash.machine.chains) == 1


async def test_a_decision_that_comes_after_it_was_disarmed_makes_nothing(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        wait = await arm(dash)
        await dash.press("c")
        decide(dash, wait, Action.DUMP)
        await dash.until(lambda: not dash.waits())
        assert dash.machine.chains == []


async def test_giving_up_at_the_deadline_is_told(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        wait = await arm(dash)
        decide(dash, wait, Action.GIVE_UP, "the deadline has come, and no dump is made")
        await dash.sees("the deadline has come, and no dump is made")
        assert not dash.waits()
        assert dash.machine.chains == []


async def test_a_link_that_fails_disarms_it_and_says_why(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        wait = await arm(dash)
        dash.machine.link_error = LinkFailed("no space left on the disk")
        decide(dash, wait, Action.DUMP)
        await dash.sees("its dump failed: no space left on the disk")
        assert not dash.waits()


async def test_a_target_that_exits_disarms_it_and_it_is_said(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await arm(dash)
        dash.machine.exit(POSTGRES)
        await dash.sees("the target has exited, and nothing was dumped")
        assert not dash.waits()


async def test_a_disk_that_takes_nothing_refuses_it_while_somebody_is_there(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.until(lambda: dash.machine.calibrated)
        dash.machine.calibration_error = LinkFailed("/full: too little space is left there")
        await dash.opens(WhenScreen, "w")
        await go_on(dash)
        await dash.press("ctrl+s")
        await dash.sees("too little space is left there")
        assert not dash.waits()


async def test_it_goes_on_where_another_program_breaks_the_chain(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        wait = await arm(dash)
        decide(dash, wait, Action.PRE_DUMP)
        await dash.links(1)
        dash.machine.clear(POSTGRES)
        await dash.sees("the next link will be full")
        assert dash.waits()
        assert "trigger stop<100ms" in dash.header
        decide(dash, wait, Action.DUMP)
        await dash.links(2)


async def test_a_cancelled_link_disarms_it(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        wait = await arm(dash)
        dash.machine.linking.clear()
        decide(dash, wait, Action.DUMP)
        await dash.until(lambda: dash.facts.is_busy)
        assert "making a link" in dash.header
        await dash.press("c")
        await dash.until(lambda: not dash.facts.is_busy)
        assert not dash.waits()
        assert dash.facts.links == ()


async def test_dumping_by_hand_disarms_it_and_pre_dumping_says_who_does_that(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await arm(dash)
        await dash.press("d")
        await dash.sees("makes the pre-dumps that pay")
        assert dash.waits()
        await dash.opens(DumpScreen, "D")
        await dash.go_on()
        await dash.links(1)
        assert not dash.waits()
        assert "cancelled: it is dumped now" in dash.log


async def test_one_that_kills_asks_when_it_is_armed(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.opens(WhenScreen, "w")
        await go_on(dash)
        dash.choose("#after-kill")
        await dash.opens(ConfirmScreen, "ctrl+s")
        assert "when the trigger fires (stop<100ms)" in str(dash.one(".dialog").border_title)
        await dash.opens(DumpScreen, "enter")  # the harmless answer has the focus
        assert not dash.waits()
        await dash.opens(ConfirmScreen, "ctrl+s")
        await dash.click("#confirm")
        await dash.until(lambda: dash.facts.wait is not None and not dash.facts.wait.is_measuring)
        assert dash.facts.wait is not None
        decide(dash, dash.facts.wait.order, Action.DUMP)
        await dash.until(lambda: dash.machine.afters == [After.KILL])


async def test_leaving_and_letting_go_ask_first(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await arm(dash)
        for key, question in (("x", "Stop watching while"), ("q", "Leave while")):
            await dash.opens(ConfirmScreen, key)
            assert question in str(dash.one(".dialog").border_title)
            await dash.opens(WatchScreen, "escape")
        assert dash.waits()
        await dash.opens(ConfirmScreen, "q")
        await dash.click("#confirm")
        await dash.until(lambda: not dash.app.is_running)
    assert dash.machine.chains == []


async def test_another_target_with_a_trigger_is_marked(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, TRAINING) as dash:
        await arm(dash)
        await dash.press("right_square_bracket")
        await dash.until(lambda: "1 ◇ " in str(dash.one(TargetStrip).render()))
        assert "trigger" not in dash.header


async def test_arming_the_trigger_arms_the_tracker(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, arm=False) as dash:
        await dash.opens(WhenScreen, "w")
        await go_on(dash)
        await dash.press("ctrl+s")
        await dash.until(lambda: dash.facts.is_armed)
        assert len(dash.machine.calibrated) == 1, "once, where its links go"


async def test_what_is_decided_before_the_last_link_is_told_of_is_done_after_it(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        wait = await arm(dash)
        dash.machine.linking.clear()
        decide(dash, wait, Action.PRE_DUMP)
        await dash.until(lambda: dash.facts.is_busy)
        decide(dash, wait, Action.DUMP)
        await dash.until(lambda: dash.facts.wait is not None and dash.facts.wait.held is not None)
        dash.machine.linking.set()
        await dash.links(2)
        assert [link.kind for link in dash.facts.links] == [LinkKind.PRE_DUMP, LinkKind.DUMP]
        assert not dash.waits()


async def test_a_click_on_the_verdict_asks_what_to_wait_for(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.click("#verdict")
        await dash.opens(WhenScreen)


async def test_a_program_that_would_be_suspended_could_not_fire(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await arm(dash)
        dash.app.action_suspend_process()
        await dash.sees("could not fire")


async def test_a_tracker_that_only_reads_tells_every_write_while_it_is_waited_for(
    dashboard: Dashboard, machine: ScriptedMachine
) -> None:
    machine.tracker = TrackerKind.SOFT_DIRTY
    async with dashboard(POSTGRES) as dash:
        await arm(dash)
        tracking = machine.opened[POSTGRES]
        await dash.until(lambda: tracking.mode is RateMode.REARMING)
        await dash.press("c")
        await dash.until(lambda: tracking.mode is RateMode.CUMULATIVE)


async def test_a_target_that_cannot_be_armed_is_not_waited_for(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES, arm=False) as dash:
        dash.tracking.refuses = NotPermitted("process 40 belongs to another user")
        await dash.opens(WhenScreen, "w")
        await go_on(dash)
        await dash.press("ctrl+s")
        await dash.sees("belongs to another user")
        assert not dash.waits()


async def test_it_is_said_beforehand_what_would_dump_at_once(dashboard: Dashboard) -> None:
    async with dashboard(POSTGRES) as dash:
        await dash.opens(WhenScreen, "w")
        dash.machine.ticking.clear()
        await dash.tick(dash.tracking.sample(5), ADVICE)
        now = dash.one("#now-stop", Static)
        await dash.until(lambda: str(now.content) == "now 40 ms: dumps at once")
        dash.fill("#stop", "30ms")
        await dash.until(lambda: str(now.content) == "now 40 ms")
