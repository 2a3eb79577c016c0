"""What a script imports: suites, evidence and performance from Python, over what `doit` uses.

from sistasks.api import Environment, PerformanceContext, QemuTestRunner, TestCase, get_artifact_collector
"""

from __future__ import annotations

from sistasks.collector import ArtifactCollector, get_artifact_collector
from sistasks.evidence.performance import PerformanceContext, PerformanceMonitor
from sistasks.runner import Environment, QemuTestRunner, TestCase, TestResult

__all__ = [
    "ArtifactCollector",
    "Environment",
    "PerformanceContext",
    "PerformanceMonitor",
    "QemuTestRunner",
    "TestCase",
    "TestResult",
    "get_artifact_collector",
]
