"""The self-check's words."""

from __future__ import annotations

from sistasks.selfcheck_steps import floors


def test_the_noise_of_a_metric_with_one_sample_a_node_is_that_of_its_median() -> None:
    noise = {("a", "p50"): 0.01, ("a", "p95"): 0.02, ("a", "p99"): 0.0, ("b", "p50"): 0.5}
    assert floors(noise, "a") == "p50 1.000%, p95 2.000%, p99 0.000%"
    assert floors(noise, "b") == "p50 50.000%"
