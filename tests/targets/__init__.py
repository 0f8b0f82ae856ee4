"""Processes that do to their memory what a test tells them to."""
