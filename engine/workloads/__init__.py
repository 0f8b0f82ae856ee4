"""Demo targets that write memory at a known rate, to watch and to measure against."""

from engine.workloads.scenario import SCENARIOS, Scenario, scenario
from engine.workloads.workload import Span, Workload, WrittenCount, start

__all__ = ["SCENARIOS", "Scenario", "Span", "Workload", "WrittenCount", "scenario", "start"]
