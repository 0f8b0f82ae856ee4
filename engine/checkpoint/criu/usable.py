"""Whether CRIU can work on a session's tree: asked when a chain is begun, and before each of its links."""

from __future__ import annotations

from engine.checkpoint.criu.config_file import Use
from engine.checkpoint.criu.features import Criu, examine_criu
from engine.checkpoint.criu.obeyed import require_config
from engine.checkpoint.criu.options import CriuOptions, require_session_leader, require_untraced
from engine.kernel.process import require_same
from engine.tracking.session import Session


def usable_criu(criu: Criu | None, options: CriuOptions, session: Session, use: Use) -> Criu:
    """A CRIU that can do what the options say with this target.

    Args:
        criu: which one; None finds it.
        options: how it is to make links.
        session: the target.
        use: what it is used for.

    Raises:
        NotSupported: there is none, or it does not work here or cannot do what `options` say.
        NotPermitted: we are not root.
        ShellJobNeeded: the root is no session leader, and `options` do not say `shell_job`.
        TargetGone: the root has exited.
    """
    found = criu or examine_criu()
    found.require_dump()
    options.require_possible(found)
    require_config(use, options.config_file)
    if not options.shell_job:
        require_session_leader(session.root.pid)
    return found


def require_ready(session: Session) -> None:
    """Make sure, just before a link, that nobody is in CRIU's way.

    Raises:
        TargetGone: the root has exited. AlreadyTraced: a process of the tree is being debugged.
    """
    require_same(session.root)
    session.follow_tree()
    with session.held() as processes:
        for process in processes:
            require_untraced(process.identity.pid)
