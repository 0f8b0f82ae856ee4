"""Makes what the dashboard shows of everything that is watched."""

from __future__ import annotations

from tui.targets.watchlist import WatchList
from tui.view.can import can_do
from tui.view.made import view_of
from tui.view.shown import Shown, TargetView


class Picture:
    """Keeps a view of each target; one of which nothing else is known keeps the view that was made.

    Args:
        watched: the targets.
        readonly: whether nothing is to be done to them.
    """

    def __init__(self, watched: WatchList, *, readonly: bool) -> None:
        self._watched = watched
        self._readonly = readonly
        self._views: dict[int, TargetView] = {}

    def take(self, *, now_s: float, stop_budget_s: float) -> Shown:
        """What is to be shown.

        Args:
            now_s: as `Clock.monotonic`.
            stop_budget_s: how long a dump may stop a target.
        """
        watched = self._watched
        views = {}
        for target in watched.targets:
            facts = target.facts
            view = self._views.get(facts.number)
            # Of one that is paused it is told for how long.
            if view is None or view.facts is not facts or facts.paused is not None:
                view = view_of(facts, readonly=self._readonly, now_s=now_s)
            views[facts.number] = view
        self._views = views
        current = watched.current.facts if watched.current is not None else None
        return Shown(
            tuple(views.values()),
            views[current.number] if current is not None else None,
            can_do(current, readonly=self._readonly, target_count=len(views)),
            stop_budget_s,
        )
