"""All suites of an invocation: what a user's suite may be, and how programs find theirs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from doit.exceptions import InvalidDodoFile

from sistasks.errors import UsageError
from sistasks.extend import Metric, Nodes, suite
from sistasks.guest.programs import Program
from sistasks.machine.results import GuestResults, TestOutcome
from sistasks.settings import Settings
from sistasks.suites import registry
from sistasks.suites.metrics import METRICS
from sistasks.suites.printed import samples_of, take_printed
from sistasks.suites.security.rules import digest
from sistasks.suites.suite import PERFORMANCE, SUITES, Suite

SPIN = Program(name="spin", path="/x/spin", arguments=("5",), metrics=("latency",))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a process's registry of its own."""
    monkeypatch.setattr(registry, "_registered", {})


def settings(*programs: Program) -> Settings:
    return Settings(programs={program.name: program for program in programs})


async def act(nodes: Nodes) -> dict[str, list[float]]:
    """Do nothing.

    And say so.
    """
    return {"nodes": [float(len(nodes.numbers))]}


def ours() -> dict[str, Suite]:
    """Our suites, those that judge with the rules that they judge by."""
    return {
        name: replace(suite, rules=digest()) if name in {"security", "penetration"} else suite
        for name, suite in SUITES.items()
    }


def test_a_suite_with_other_rules_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    known = registry.suites(settings())["security"].digest()
    assert registry.suites(settings())["security"].digest() == known
    monkeypatch.setattr(registry, "digest", lambda: "others")
    assert registry.suites(settings())["security"].digest() != known


def test_without_anything_of_the_users_there_is_what_we_have() -> None:
    assert registry.suites(settings()) == ours()
    assert registry.metrics(settings()) == METRICS
    assert registry.find("performance", settings()) is PERFORMANCE
    with pytest.raises(UsageError, match="there are no programs to run"):
        registry.find("programs", settings())
    with pytest.raises(UsageError, match=r"no suite performence; did you mean 'performance'"):
        registry.find("performence", settings())


def test_programs_are_a_suite() -> None:
    other = replace(SPIN, name="other", metrics=())
    found = registry.suites(settings(SPIN, other))
    assert list(found["programs"].tests.items()) == [("spin", ("spin.latency",)), ("other", ())]
    assert set(found["programs"].programs) == {SPIN, other}
    assert {name: found[name] for name in SUITES} == ours()


def test_a_program_may_be_a_test_of_another_suite() -> None:
    found = registry.suites(settings(replace(SPIN, suite="performance")))
    assert "programs" not in found
    assert found["performance"].tests == {"spin": ("spin.latency",), **PERFORMANCE.tests}
    assert found["performance"].digest() != PERFORMANCE.digest()
    suite("mine", tests=["throughput"])
    found = registry.suites(settings(replace(SPIN, suite="mine")))
    assert list(found["mine"].tests) == ["throughput", "spin"], "what was there is not moved by what comes"
    assert found["mine"].programs


def test_a_suites_identity_is_what_it_runs() -> None:
    def digest(program: Program) -> str:
        return registry.suites(settings(program))["programs"].digest()

    assert digest(SPIN) == digest(replace(SPIN, path="/y/spin")), "the file itself is part of the guest"
    changed = [replace(SPIN, arguments=()), replace(SPIN, timeout=1), replace(SPIN, metrics=())]
    assert len({digest(SPIN), *map(digest, changed)}) == 4
    plain = Suite(name="a", title="a", tests={})
    assert replace(plain, act=act).digest() != plain.digest()
    assert replace(plain, act=act).digest() == replace(plain, act=act).digest()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (replace(SPIN, suite="performanse"), "did you mean 'performance'?"),
        (replace(SPIN, suite="distributed"), "suite = 'distributed' of programs.spin is unknown"),
        (replace(SPIN, suite="boot"), "is unknown"),
        (replace(SPIN, name="throughput"), "the name is taken; it is a test of the agent"),
        (replace(SPIN, name="partition"), "the name is taken"),
    ],
)
def test_programs_that_cannot_be(program: Program, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        registry.suites(settings(program))
    assert words in str(caught.value)


def test_too_many_programs_for_a_plan_are_refused_before_anything_runs() -> None:
    many = [replace(SPIN, name=f"a{n}" + "b" * 40) for n in range(20)]
    with pytest.raises(UsageError, match="the suite programs has too many tests or arguments"):
        registry.suites(settings(*many))
    long = [replace(SPIN, name=f"a{n}", arguments=("x" * 4000,)) for n in range(5)]
    with pytest.raises(UsageError, match="does not fit the 16380 of its page"):
        registry.suites(settings(*long))


def test_a_suite_of_dodo_py() -> None:
    made = suite(
        "mine", tests=["context_switch", "spin"], act=act, measures=["nodes"],
        metrics=[Metric(name="act.nodes", unit="nodes", better="higher", description="how many")],
    )  # fmt: skip
    assert made.title == "mine"
    found = registry.find("mine", settings(SPIN))
    assert found.tests == {"context_switch": ("context_switch.latency",), "spin": ("spin.latency",)}
    assert found.measures == ("act.nodes",)
    assert found.programs == (SPIN,)
    assert registry.metrics(settings())["act.nodes"].unit == "nodes"


def test_tests_may_say_what_they_owe() -> None:
    suite("mine", tests={"throughput": ["rate"], "spin": ["calls", "latency"]})
    assert registry.find("mine", settings(SPIN)).tests == {
        "throughput": ("throughput.rate",),
        "spin": ("spin.calls", "spin.latency"),
    }


@pytest.mark.parametrize(
    "name", ["performance", "programs", "test", "gate", "list", "My", "a b", "", "1a", "a-b"]
)
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(InvalidDodoFile, match="suite"):
        suite(name, tests=["throughput"])


def test_suites_that_cannot_be() -> None:
    suite("mine", tests=["throughput"])
    with pytest.raises(InvalidDodoFile, match="there is one of this name"):
        suite("mine", tests=["throughput"])
    with pytest.raises(InvalidDodoFile, match="has nothing to run"):
        suite("empty")
    with pytest.raises(InvalidDodoFile, match="has measures but no function"):
        suite("still", tests=["throughput"], measures=["a"])
    with pytest.raises(InvalidDodoFile, match=r"its target can be set in pyproject\.toml"):
        suite("ours", tests=["throughput"], metrics=[METRICS["boot.kernel"]])
    suite("other", tests=["contextswitch"])
    with pytest.raises(
        UsageError, match=r"has a test 'contextswitch', and there is none; did you mean 'context_"
    ):
        registry.suites(settings())


def printed(*lines: str, status: str = "pass") -> tuple[GuestResults, dict[str, Metric]]:
    guest = GuestResults(tests=[TestOutcome("spin", status, "")], lines={"spin": list(lines)})
    found = registry.suites(settings(SPIN))["programs"]
    return guest, take_printed(found, [guest], registry.metrics(settings(SPIN)))


def test_lines_become_samples_by_the_rules_of_consoles() -> None:
    guest, metrics = printed(
        "METRIC latency=1.5 us", "METRIC latency=2 us", "METRIC calls=7", "METRIC spin.rate=5 ops/s"
    )
    assert guest.samples == {"spin.latency": [1500.0, 2000.0], "spin.calls": [7.0], "spin.rate": [5.0]}
    assert (metrics["spin.latency"].unit, metrics["spin.latency"].better) == ("ns", "lower")
    assert (metrics["spin.rate"].unit, metrics["spin.rate"].better) == ("ops/s", "higher")
    assert guest.tests[0].status == "pass"
    assert guest.lines == {}, "a second look must not count them again"


@pytest.mark.parametrize(
    "line", ["METRIC latency=abc", "METRIC latency=inf", "METRIC latency=-1 us", "METRIC", "METRIC x"]
)
def test_a_line_that_cannot_be_taken_is_an_error(line: str) -> None:
    guest, _ = printed("METRIC latency=1", line)
    assert guest.tests[0].status == "error"
    assert "METRIC" in guest.tests[0].message
    guest, _ = printed(line, status="fail")
    assert (guest.tests[0].status, guest.tests[0].message) == ("fail", ""), "its own end says more"


def test_what_acts_on_nodes_sees_printed_samples_and_they_stay_to_be_taken() -> None:
    guest = GuestResults(lines={"spin": ["METRIC latency=1 us", "METRIC calls=7"]}, samples={"a.b": [1]})
    assert samples_of(guest) == {"a.b": [1], "spin.latency": [1000.0], "spin.calls": [7.0]}
    assert guest.samples == {"a.b": [1]}
    assert samples_of(guest) == samples_of(guest)


def test_what_is_owed_has_a_record_though_it_never_came() -> None:
    _, metrics = printed("METRIC calls=7")
    assert metrics["spin.latency"].unit == ""


def test_the_users_word_is_kept_where_the_unit_is_the_same() -> None:
    mine = Metric(
        name="spin.latency", unit="ns", better="lower", target=5, target_statistic="p95", description="x"
    )
    guest = GuestResults(lines={"spin": ["METRIC latency=1 us"]})
    found = registry.suites(settings(SPIN))["programs"]
    assert take_printed(found, [guest], {"spin.latency": mine})["spin.latency"] is mine
    guest = GuestResults(tests=[TestOutcome("spin", "pass", "")], lines={"spin": ["METRIC latency=1 bytes"]})
    metrics = take_printed(found, [guest], {"spin.latency": mine})
    assert guest.samples == {"spin.latency.bytes": [1.0]}, "other units are other metrics"
    assert metrics["spin.latency.bytes"].unit == "bytes"
    assert guest.tests[0].message == "METRIC latency came in 'bytes', and spin.latency is described in 'ns'"
