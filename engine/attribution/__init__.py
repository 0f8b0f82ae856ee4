"""Who writes: which code, of which thread, wrote the pages that a tracker reports.

The first write to a page after a re-arm is a minor fault, and each fault tells its instruction. So this is a
count, not a sample: `matching` gives each written page to the fault that made it so, and what no fault
explains is told as such. See docs/who-writes.md.
"""
