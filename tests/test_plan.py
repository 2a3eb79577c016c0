"""The plan's page: what Python writes is what the agent's C reads, and nothing else is read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from native import compile_harness, run_harness

from sistasks.guest.plan import MARK_SIZE, PAGE_SIZE, TESTS_MAX, Plan, Replica

if TYPE_CHECKING:
    from pathlib import Path

# the page comes from standard input; the first byte tells whether the device is there
HARNESS = r"""
#include "plan.c"

static char memory[PLAN_PAGE];
static bool there;

bool pci_find(struct pci_device *device, unsigned vendor, unsigned id)
{
    (void)device;
    return there && vendor == 0x1af4 && id == 0x1110;
}

volatile void *pci_map(const struct pci_device *device, int resource, size_t size)
{
    (void)device;
    return resource == 2 && size == PLAN_PAGE ? memory : NULL;
}

int main(void)
{
    struct plan plan;
    char problem[64] = "";
    there = getchar() == 'y';
    if (fread(memory, 1, PLAN_PAGE, stdin) != PLAN_PAGE) {
        return 2;
    }
    if (!plan_open()) {
        printf("no device");
    } else if (!plan_read(&plan, problem, sizeof problem)) {
        printf("%s", problem);
    } else {
        plan_mark(0x1234567);
        if (memcmp(memory + PLAN_PAGE - 4, "\x67\x45\x23\x01", 4) != 0) {
            return 4;
        }
        printf("%u %" PRIu64 " %d %d %d %" PRIu32 " %s", plan.node, plan.seed, plan.freeze, plan.aligned, plan.hold,
               plan.iterations, plan.tests);
    }
    return 0;
}
"""
PLAN = Plan(node=7, seed=8, tests=("context_switch", "throughput"), iterations=1000, aligned=True)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_harness(tmp_path_factory.mktemp("plan"), HARNESS)


def read(agent: Path, page: bytes, *, device: bool = True) -> str:
    return run_harness(agent, stdin=(b"y" if device else b"n") + page).decode()


def expected(plan: Plan) -> str:
    flags = f"{int(plan.freeze)} {int(plan.aligned)} {int(plan.hold)}"
    return f"{plan.node} {plan.seed} {flags} {plan.iterations} {','.join(plan.tests)}"


PLANS = st.builds(
    Plan,
    node=st.integers(0, 2**32 - 1),
    seed=st.integers(0, 2**64 - 1),
    tests=st.lists(st.from_regex(r"[a-z_]{1,30}", fullmatch=True), max_size=16).map(tuple),
    iterations=st.integers(0, 2**32 - 1),
    freeze=st.booleans(),
    aligned=st.booleans(),
    hold=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@example(PLAN)
@example(Plan(node=0, seed=0, freeze=True))
@example(replace(PLAN, tests=("x" * TESTS_MAX,)))
@given(PLANS)
def test_the_agent_reads_what_was_written(agent: Path, plan: Plan) -> None:
    assert read(agent, plan.page()) == expected(plan)


@given(PLANS)
def test_a_page_is_a_page(plan: Plan) -> None:
    page = plan.page()
    assert len(page) == PAGE_SIZE
    assert page.startswith(b"SISPLAN1 ")


@settings(max_examples=80, deadline=None)
@given(PLANS, st.data())
def test_a_torn_page_is_refused(agent: Path, plan: Plan, data: st.DataObject) -> None:
    page = bytearray(plan.page())
    used = len(page.rstrip(b"\0"))
    at = data.draw(st.integers(0, used - 1))
    page[at] ^= data.draw(st.integers(1, 255))
    # a digit of the mark may be written in another way (00001234, 1A2B): the plan is then the same, or refused
    assert read(agent, bytes(page)) in {"the plan has no mark", "the plan is torn", expected(plan)}
    if at >= page.index(b"\n"):
        assert read(agent, bytes(page)) != expected(plan)


def test_half_of_another_plan_is_refused(agent: Path) -> None:
    other = replace(PLAN, node=9, seed=10, iterations=2000)
    page = PLAN.page()[:60] + other.page()[60:]
    assert page not in {PLAN.page(), other.page()}
    assert read(agent, page) == "the plan is torn"


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"SISPLAN1",
        b"SISPLAN2 0 cbf29ce484222325\n",
        b"SISPLAN1 -1 cbf29ce484222325\n",
        b"SISPLAN1 99999 cbf29ce484222325\n",
        b"SISPLAN1 16384 cbf29ce484222325\n",
        b"SISPLAN1 0 cbf29ce484222325",
        b"\xff" * PAGE_SIZE,
    ],
)
def test_what_is_no_plan_is_refused(agent: Path, page: bytes) -> None:
    assert read(agent, page.ljust(PAGE_SIZE, b"\0")) == "the plan has no mark"


def test_a_plan_without_tests_is_not_guessed(agent: Path) -> None:
    # the empty body has the hash that FNV-1a starts with
    page = b"SISPLAN1 0 cbf29ce484222325\n".ljust(PAGE_SIZE, b"\0")
    assert read(agent, page) == "the plan names no tests"


def test_without_the_device_there_is_no_plan(agent: Path) -> None:
    assert read(agent, PLAN.page(), device=False) == "no device"


@pytest.mark.parametrize("tests", [("x" * (TESTS_MAX + 1),), ("é" * 300,), tuple("abcdefgh" * 33)])
def test_more_tests_than_the_agent_holds_are_refused(tests: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="at most 511 bytes"):
        replace(PLAN, tests=tests).page()


@pytest.mark.parametrize("name", ["a\nhold=1", "a,b", "", " ", "a\0"])
def test_a_name_that_would_be_read_otherwise_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a test"):
        replace(PLAN, tests=("boot", name)).page()


def test_what_few_plans_ask_for_is_on_their_page_alone() -> None:
    plain = PLAN.page()
    asked = replace(PLAN, trace="events", trace_room=5, beat=2.5, symbols=True)
    for line in (b"trace=events\n", b"trace_room=5\n", b"beat_ms=2500\n", b"symbols=1\n"):
        assert line in asked.page()
        assert line.split(b"=")[0] not in plain
    assert PLAN.files == {}
    assert asked.files == {"context_switch": 5, "throughput": 5, "kallsyms": 32 << 20, "vmcoreinfo": 32768}


def test_the_last_bytes_of_the_page_are_the_agents() -> None:
    for size in range(PAGE_SIZE // 2 - 200, PAGE_SIZE):
        secrets = (b"x" * size,)
        plan = replace(PLAN, replica=Replica(
            count=1, cluster_seed=1, secrets=secrets, network=1, timeouts={}, report=1.0,
        ))  # fmt: skip
        try:
            page = plan.page()
        except ValueError:
            break
        assert page[-MARK_SIZE:] == bytes(MARK_SIZE)
    else:
        pytest.fail("a plan larger than its page")
