"""Processes that each hold one thing which CRIU may not be able to save."""
