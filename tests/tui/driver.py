"""The dashboard as its user has it: keys are pressed, and it is waited for what is then to be seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from engine.forecast.advisor import NO_ADVICE, Advice
from engine.tracking.sample import Sample
from tests.tui.machine import ScriptedMachine, ScriptedTracking
from tui import messages
from tui.app import DirtytopApp
from tui.screens.choice import Choice
from tui.screens.dump.screen import DumpScreen
from tui.settings import Settings
from tui.targets.target import Target
from tui.targets.told import Told
from tui.view.facts import Facts
from tui.view.shown import TargetView
from widgets.chain_view import ChainView
from widgets.drawing import SpanView
from widgets.target_header import TargetHeader

POSTGRES = 40
TRAINING = 60
CHAIN = Path("/nowhere/chain")
"""Where scripted chains go: nothing is written."""
SIZES = [(80, 24), (120, 40), (200, 60)]
_STAYS_S = 3600.0
_PATIENCE_S = 120.0
"""Far beyond anything, even where the CPU is emulated."""

S = TypeVar("S", bound=Screen[Any])
W = TypeVar("W", bound=Widget)


_HEARD: WeakKeyDictionary[DirtytopApp, list[str]] = WeakKeyDictionary()


def hear(app: DirtytopApp) -> None:
    """Keep all that an app tells in toasts, which stay in view however slow the machine is."""
    heard = _HEARD[app] = []
    notify = app.notify

    def note(message: str, *, title: str = "", **options: Any) -> None:
        heard.append(f"{title} {message}")
        notify(message, title=title, **{"timeout": _STAYS_S, **options})

    app.notify = note  # type: ignore[method-assign]


class Dash:
    """A dashboard that runs."""

    def __init__(self, app: DirtytopApp, pilot: Pilot[Any], machine: ScriptedMachine) -> None:
        self.app = app
        self.pilot = pilot
        self.machine = machine

    # What is done.

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so; fails if it never is."""
        give_up = time.monotonic() + _PATIENCE_S
        while not condition():
            assert time.monotonic() < give_up, f"it never came to that; what is to be seen:\n{self.text}"
            await self.pilot.pause(0.01)
        await self.pilot.pause()

    async def sees(self, *texts: str) -> None:
        """Wait until all of this is to be read somewhere."""
        for text in texts:
            await self.until(lambda text=text: text in self.text)  # type: ignore[misc]

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self.pilot.press(*keys)

    async def click(self, what: Any, offset: tuple[int, int] = (0, 0)) -> None:
        """Click on a widget."""
        await self.pilot.click(what, offset=offset)

    async def pause(self, seconds: float | None = None) -> None:
        """Let all be done that is due."""
        await self.pilot.pause(seconds)

    async def opens(self, screen: type[S], *keys: str) -> S:
        """Press keys, and wait for the screen that they lead to."""
        await self.press(*keys)
        await self.until(lambda: self.is_on(screen))
        assert isinstance(self.app.screen, screen)
        return self.app.screen

    async def link(self, *keys: str) -> None:
        """Press keys, and wait for the link that they have made."""
        count = len(self.facts.links)
        await self.press(*(keys or ("d",)))
        await self.until(lambda: len(self.facts.links) != count and not self.facts.is_busy)

    async def links(self, count: int) -> None:
        """Wait until its chain has so many links."""
        await self.until(lambda: len(self.facts.links) == count and not self.facts.is_busy)

    async def dump_dialog(self, *keys: str, engine: str = "") -> None:
        """Open the dialog of a link, with all known that is to be found out, and choose an engine."""
        await self.opens(DumpScreen, *(keys or ("D",)))
        await self.until(lambda: self.facts.engines)
        if engine:
            self.choose(f"#engine-{engine}")
        await self.pause()

    async def possible(self) -> None:
        """Wait until what the dialog says can be done."""
        await self.until(lambda: not self.one("#make", Button).disabled)

    async def go_on(self, *keys: str) -> None:
        """From where and how to what is done, once that can be."""
        await self.possible()
        await self.press(*(keys or ("ctrl+s",)))

    def choose(self, choice: str, value: bool = True) -> None:
        """Take one of several."""
        self.one(choice, Choice).value = value

    def fill(self, line: str, value: str) -> None:
        """Fill in a line."""
        self.one(line, Input).value = value

    def tell(self, what: messages.OfTarget) -> None:
        """As if a thread of the target in view told it."""
        self.app.post_message(Told(self.target, what))

    async def tick(
        self, sample: Sample, advice: Advice = NO_ADVICE, target: Target | None = None, **facts: Any
    ) -> None:
        """Have a tick seen as if its sampler told it, of the target in view or of another."""
        target = target or self.target
        self.app.post_message(
            Told(target, messages.Sampled(sample, True, **{"history": (), "advice": advice, **facts}))
        )
        await self.until(lambda: target.facts.live.sample is sample)

    # What is known and shown.

    @property
    def tracking(self) -> ScriptedTracking:
        """The engine's end of the target in view, as it was scripted."""
        return self.machine.opened[self.target.pid]

    @property
    def target(self) -> Target:
        """The one in view."""
        target = self.app.desk.watched.current
        assert target is not None
        return target

    @property
    def targets(self) -> list[Target]:
        """All that are watched."""
        return self.app.desk.watched.targets

    @property
    def facts(self) -> Facts:
        """What is known of the target in view."""
        return self.target.facts

    @property
    def view(self) -> TargetView:
        """What is shown of it."""
        assert self.app.shown.current is not None
        return self.app.shown.current

    def waits(self) -> bool:
        """Whether a trigger is armed for it."""
        return self.facts.wait is not None

    def is_on(self, screen: type[Screen[Any]]) -> bool:
        """Whether that is the screen in front."""
        return isinstance(self.app.screen, screen)

    def one(self, what: Any, kind: Any = None) -> Any:
        """The widget of the screen in front that is found by its type or name."""
        return self.app.screen.query_one(what, kind) if kind is not None else self.app.screen.query_one(what)

    @property
    def toasts(self) -> str:
        """All that has been told for a moment."""
        return "\n".join(_HEARD[self.app])

    @property
    def banner(self) -> str:
        """What stands between the user and live figures."""
        return str(self.one("#banner", Static).content)

    @property
    def log(self) -> str:
        """The events of the target in view."""
        return "\n".join(line.text for line in self.facts.log.lines)

    @property
    def header(self) -> str:
        """The header's lines."""
        return "\n".join(lines_of(self.one(TargetHeader), height=0))

    @property
    def text(self) -> str:
        """All that is to be read on the screen in front, each text on a line, and what toasts say."""
        screen = self.app.screen
        texts = [str(static.content) for static in screen.query(Static)]
        texts += [str(choice.label) for choice in screen.query(Choice)]
        texts += [str(dialog.border_title) for dialog in screen.query(".dialog")]
        texts += [" ".join(" ".join(lines_of(chain)).split()) for chain in screen.query(ChainView)]
        texts += ["\n".join(lines_of(header, height=0)) for header in screen.query(TargetHeader)]
        return "\n".join([*texts, self.toasts])


def lines_of(view: SpanView, height: int | None = None) -> list[str]:
    """The lines that a panel draws."""
    lines = view.lines(view.content_size.width, view.content_size.height if height is None else height)
    return ["".join(span.text for span in line) for line in lines]


def drawn(widget: Any) -> str:
    """What a widget draws, line by line."""
    return "\n".join(widget.render_line(y).text for y in range(widget.content_size.height))


class Launch(Protocol):
    """Makes an app, on the scripted machine unless it is to be a real one."""

    def __call__(
        self,
        *pids: int,
        arm: bool = True,
        real: bool = False,
        settings: Settings | None = None,
        **options: Any,
    ) -> DirtytopApp:
        """Watch these; none shows the picker."""


class Dashboard(Protocol):
    """Runs an app, from the first tick of what it watches on."""

    def __call__(
        self, *pids: int, size: tuple[int, int] = (120, 40), **options: Any
    ) -> AbstractAsyncContextManager[Dash]:
        """Options as of `Launch`."""
