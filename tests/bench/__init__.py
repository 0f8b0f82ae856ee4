"""Figures: `python -m tests.bench` measures, prints a table and writes `bench.json`.

Machines are shared and noisy: every figure is a median of several runs, and what is compared is
measured side by side in one run. Nothing here fails a test.
"""
