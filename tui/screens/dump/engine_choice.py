"""Which engine makes the link: what each can and cannot do here, said where one chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Checkbox, RadioSet, Static

from engine.checkpoint.kinds import BY_PREFERENCE, kind_of
from engine.checkpoint.link import Engine
from engine.images.layout import LinkKind
from tui.screens.choice import Choice, Tick

if TYPE_CHECKING:
    from engine.checkpoint.criu.options import CriuOptions
    from engine.checkpoint.engines import EngineReport

_TICKS: Final = {
    "tcp_established": ("tcp-established", "Save open TCP connections"),
    "ext_unix_sk": ("ext-unix-sk", "Allow unix sockets whose other end is elsewhere; that end is lost"),
    "file_locks": ("file-locks", "Save file locks; at restore nobody else may hold them"),
}
"""Options by the names that CRIU has for them, for its errors speak of them so."""
_NEEDED_FOR: Final = {
    "shell-job": "the target leads no session of its own",
    "tcp-established": "the target has open TCP connections",
    "ext-unix-sk": "the target has unix sockets whose other end is elsewhere",
    "file-locks": "the target holds file locks",
}
"""Why an engine does not take it without an option."""
_SHELL_JOB: Final = "shell-job: part of a shell's session, here and when restored"


class EngineChoice(Vertical):
    """The engines, and the options of the one that is chosen.

    Args:
        engines: what there is to choose from, working here or not.
        kind: of the link.
        preferred: the engine chosen at first, if it can; None: the one that saves most, once it is known.
    """

    class Changed(Message):
        """Another engine, another option, or more is known."""

    def __init__(self, engines: Sequence[Engine], kind: LinkKind, preferred: Engine | None) -> None:
        super().__init__(id="engine-choice")
        self._engines = tuple(engines)
        self._kind = kind
        self._is_open = preferred is None
        self._preferred = preferred or Engine.MEMORY
        self._forced: Engine | None = None
        self._reports: dict[Engine, EngineReport] = {}

    def compose(self) -> ComposeResult:
        """A line for each engine, what the chosen one does, and its options."""
        yield Static("engine", markup=False, classes="label")
        yield RadioSet(
            *(
                Choice(Content(engine.value), value=engine is self._preferred, id=f"engine-{engine.value}")
                for engine in self._engines
            ),
            id="engines",
            compact=True,
        )
        yield Static("", id="engine-detail")
        with Vertical(id="criu-options"):
            yield Tick(Content(_SHELL_JOB), id="shell_job", compact=True)
            with Horizontal(classes="ticks"):
                for option, (name, meaning) in _TICKS.items():
                    yield Tick(Content(name), id=option, compact=True, tooltip=Content(meaning))

    def on_mount(self) -> None:
        """Say what is known before anything has been looked up."""
        self._show()

    # What is known.

    def show_reports(self, reports: Sequence[EngineReport]) -> None:
        """Say what the engines can do; what was chosen and cannot gives way to the first that can."""
        self._reports = {report.engine: report for report in reports}
        able = [engine for engine in BY_PREFERENCE if engine in self._reports and self._is_able(engine)]
        if self._forced is None and able and (self._is_open or self._why_not(self.engine)):
            self._choose(able[0])
        self._is_open = False
        self._show()
        self.post_message(self.Changed())

    def force(self, engine: Engine | None) -> None:
        """Leave no choice, for a chain keeps its engine; None: leave it again."""
        if engine is not self._forced:
            self._forced = engine
            if engine in self._engines:
                self._choose(engine)
            self._show()

    def _choose(self, engine: Engine | None) -> None:
        if engine is not None:
            self.query_one(f"#engine-{engine.value}", Choice).value = True

    def _is_able(self, engine: Engine) -> bool:
        report = self._reports[engine]
        return not report.why_not(self._kind) and not report.needed_options

    def _why_not(self, engine: Engine) -> str:
        return self._reports[engine].why_not(self._kind) if engine in self._reports else ""

    # What is chosen.

    @property
    def engine(self) -> Engine:
        """The one that is chosen."""
        if not self.is_mounted:
            return self._preferred
        return next(
            engine for engine in self._engines if self.query_one(f"#engine-{engine.value}", Choice).value
        )

    @property
    def is_restorable(self) -> bool:
        """Whether the target can be made again from its dump."""
        report = self._reports.get(self.engine)
        return report is not None and report.is_restorable

    @property
    def options(self) -> CriuOptions | None:
        """What CRIU is told; None for an engine without it."""
        if not kind_of(self.engine).uses_criu:
            return None
        from engine.checkpoint.criu.options import CriuOptions

        return CriuOptions(
            shell_job=self.query_one("#shell_job", Tick).value,
            tcp_established=self.query_one("#tcp_established", Tick).value,
            ext_unix_sk=self.query_one("#ext_unix_sk", Tick).value,
            file_locks=self.query_one("#file_locks", Tick).value,
        )

    @property
    def problem(self) -> str:
        """Why it cannot be done as chosen, printable; empty if it can."""
        engine = self.engine
        report = self._reports.get(engine)
        if report is None:
            # Ours works wherever there is a target at all.
            return f"asking {engine.value} what it can do here …" if kind_of(engine).uses_criu else ""
        if report.why_not(self._kind):
            return f"{engine.value} cannot: see above"
        for option in report.needed_options:
            if not self.query_one(f"#{option.replace('-', '_')}", Tick).value:
                return f"{_NEEDED_FOR[option]}: tick {option}"
        return ""

    @on(RadioSet.Changed)
    @on(Checkbox.Changed)
    def _changed(self, event: Message) -> None:
        event.stop()
        self._show()
        self.post_message(self.Changed())

    # How it looks.

    def _show(self) -> None:
        for engine in self._engines:
            choice = self.query_one(f"#engine-{engine.value}", Choice)
            choice.label = self._label(engine)
            forced_out = self._forced is not None and engine is not self._forced
            choice.disabled = forced_out or bool(self._why_not(engine))
        self.query_one("#engine-detail", Static).update(self._detail())
        report = self._reports.get(self.engine)
        self.query_one("#criu-options").display = kind_of(self.engine).uses_criu
        needs_shell_job = report is not None and "shell-job" in report.needed_options
        self.query_one("#shell_job").display = needs_shell_job

    def _label(self, engine: Engine) -> Content:
        report = self._reports.get(engine)
        if report is None:
            return Content(engine.value)
        name = f"{engine.value} {report.version}".rstrip().ljust(12)
        if report.why_not(self._kind):
            return Content(f"{name} ✗ not here: see below")
        return Content(f"{name} {report.holds}")

    def _reasons(self) -> list[str]:
        """Why engines cannot; what keeps two of them from it is said once."""
        kept: dict[str, list[str]] = {}
        for engine in self._engines:
            why = self._why_not(engine)
            if why:
                hint = self._reports[engine].hint
                kept.setdefault(f"{why}{f' ({hint})' if hint else ''}", []).append(engine.value)
        return [
            why if len(names) == 1 and why.startswith(names[0]) else f"{', '.join(names)}: {why}"
            for why, names in kept.items()
        ]

    def _detail(self) -> Content:
        report = self._reports.get(self.engine)
        lines = [f"{self.engine.value} {report.stops(self._kind)}"] if report is not None else ["looking …"]
        lines += [f"✗ {reason}" for reason in self._reasons()]
        return Content("\n").join(
            Content.styled(line, "$warning" if line.startswith("✗") else "$foreground 60%") for line in lines
        )
