"""When to dump: what may be waited for, and the state machine that waits."""
