"""Metrics of pyproject.toml: what may be said, and one sentence for what may not."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.errors import UsageError
from sistasks.settings import resolve
from sistasks.suites.defined import metrics
from sistasks.suites.metrics import METRICS, Metric
from sistasks.suites.registry import metrics as all_metrics

FILE = Path("pyproject.toml")
WHOLE = """
[metrics."mytest.latency"]
unit = "ns"
better = "lower"
target = 500
target_statistic = "p95"
industry = "others 1 us"
minimum_effect = 0.02
description = "one call"
"""


def read(text: str) -> dict[str, Metric]:
    return metrics(tomllib.loads(text)["metrics"], FILE)


def refusal(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(text)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert caught.value.remedy
    return sentence


def test_a_whole_record() -> None:
    assert read(WHOLE) == {
        "mytest.latency": Metric(
            name="mytest.latency", unit="ns", better="lower", target=500, target_statistic="p95",
            industry="others 1 us", minimum_effect=0.02, description="one call",
        )
    }  # fmt: skip


def test_the_least() -> None:
    (metric,) = read('[metrics."a.rate"]\nunit = "ops/s"\nbetter = "higher"').values()
    assert (metric.target, metric.minimum_effect) == (None, 0.05)
    assert "a.rate" in metric.description


def test_of_ours_the_target_may_be_another() -> None:
    (mine,) = read('[metrics."context_switch.latency"]\ntarget = 9000\nindustry = "mine"').values()
    ours = METRICS["context_switch.latency"]
    assert (mine.target, mine.target_statistic, mine.industry) == (9000, "p95", "mine")
    assert (mine.unit, mine.better, mine.description) == (ours.unit, ours.better, ours.description)
    with_statistic = '[metrics."boot.kernel"]\ntarget = 1e9\ntarget_statistic = "p50"'
    assert read(with_statistic)["boot.kernel"].target == 1e9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[metrics.a]\nunit = "ns"', "has no better"),
        ('[metrics.a]\nbetter = "lower"', "has no unit"),
        ('[metrics.a]\nunits = "ns"', "unknown key 'units' in metrics.\"a\" in pyproject.toml; did you mean 'unit'?"),
        ('[metrics.a]\nunit = "us"\nbetter = "lower"', "unit = 'us' of metrics.\"a\" in pyproject.toml cannot be"),
        ('[metrics.a]\nunit = "a b"\nbetter = "lower"', "a unit such as"),
        ('[metrics.a]\nunit = ["ns"]\nbetter = "lower"', "unit is a text"),
        ('[metrics.a]\nunit = "ns"\nbetter = "less"', "better is one of lower, higher"),
        ('[metrics.a]\nunit = "ns"\nbetter = ["lower"]', "better is one of lower, higher"),
        ('[metrics.a]\nunit = "ns"\nbetter = "lower"\ntarget = inf', "target is a finite number"),
        ('[metrics.a]\nunit = "ns"\nbetter = "lower"\ntarget = nan', "target is a finite number"),
        ('[metrics.a]\nunit = "ns"\nbetter = "lower"\ntarget = "5"', "target is a finite number"),
        ('[metrics.a]\nunit = "ns"\nbetter = "lower"\ntarget = true', "target is a finite number"),
        (f'[metrics.a]\nunit = "ns"\nbetter = "lower"\ntarget = 1{"0" * 400}', "target is a finite number"),
        ('[metrics.a]\nunit = "ns"\nbetter = "lower"\ntarget = 5', "has no target_statistic"),
        ('[metrics.a]\nunit = "ns"\nbetter = "lower"\ntarget_statistic = "p95"', "has no target; target and"),
        ('[metrics.a]\nunit = "ns"\nbetter = "lower"\ntarget = 5\ntarget_statistic = "p90"', "one of mean, p50"),
        ('[metrics.a]\nunit = "ns"\nbetter = "lower"\nminimum_effect = 0', "above 0 and up to 1"),
        ('[metrics.a]\nunit = "ns"\nbetter = "lower"\nminimum_effect = 5', "above 0 and up to 1"),
        ('[metrics.a]\nunit = "ns"\nbetter = "lower"\ndescription = "a\\nb"', "description is a text"),
        ('[metrics."context_switch.latency"]\nunit = "ops/s"', "is a metric of sistasks; of those target"),
        ('[metrics."context_switch.latency"]\nbetter = "higher"', "is a metric of sistasks"),
        ('[metrics."context_switch.latency"]\ndescription = "x"', "is a metric of sistasks"),
        ('[metrics."boot.kernel"]\ntarget = 5', "has no target_statistic"),
        ('[metrics.mytest.latency]\nunit = "ns"', 'in quotes: [tool.sistasks.metrics."mytest.latency"]'),
        ('[metrics."My Test"]\nunit = "ns"', "no metric can have this name"),
        ('[metrics]\na = 5', 'metrics."a" in pyproject.toml is no table'),
        ("metrics = 5", "metrics in pyproject.toml is no table"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(text: str, words: str) -> None:
    assert words in refusal(text)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["unit", "better", "target", "target_statistic", "industry", "minimum_effect", "description"]
)


@given(
    st.dictionaries(
        st.sampled_from(["a.b", "boot.kernel"]) | st.text(), st.dictionaries(KEYS, VALUES) | VALUES
    )
)
def test_whatever_stands_there_is_read_or_refused(table: dict[str, object]) -> None:
    try:
        found = metrics(table, FILE)
    except UsageError as error:
        said = str(error)
    else:
        assert found.keys() == table.keys()
        return
    assert "\n" not in said


def test_settings_have_them_and_the_user_has_the_last_word(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(WHOLE.replace("[metrics", "[tool.sistasks.metrics") + "[tool.sistasks]\nnodes = 3\n")
    settings = resolve({}, {}, file)
    assert settings.nodes == 3
    found = all_metrics(settings)
    assert found["mytest.latency"].target == 500
    assert found.keys() == METRICS.keys() | {"mytest.latency"}
    file.write_text('[tool.sistasks.metrics."election.time"]\ntarget = 1\n')
    assert all_metrics(resolve({}, {}, file))["election.time"].target == 1
    file.write_text("[tool.sistasks]\nmetrics = 7\n")
    with pytest.raises(UsageError, match=r"metrics in .*pyproject.toml is no table"):
        resolve({}, {}, file)
