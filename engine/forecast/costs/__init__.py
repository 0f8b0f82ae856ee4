"""What links cost: measured by a probe at first, then learnt from every link."""
