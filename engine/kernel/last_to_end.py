"""For the small processes that put right what we have begun in a target: they end last, and by themselves."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import Final

_SIGNALS: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGTSTP,
    signal.SIGPIPE,
)
_NEVER_KILLED: Final = "-1000"  # OOM_SCORE_ADJ_MIN; root alone may set it


def be_last_to_end() -> None:
    """Heed no key pressed in a terminal, no terminal that goes away, and no memory that runs out.

    Were such a process ended with a thread borrowed, that thread would go on with registers of ours.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as oom_score_adj:
        oom_score_adj.write(_NEVER_KILLED)
