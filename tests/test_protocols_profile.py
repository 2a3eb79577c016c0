"""A profile is read from TOML with one sentence for each mistake, and what was read can be written and read again."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.errors import UsageError
from sistasks.protocols.profile import PROFILES, SIS, ConsoleTest, from_table

WHERE = "[tool.sistasks.kernels.mine.console]"


def test_the_ready_profile_is_the_tree_s_own_words() -> None:
    assert list(SIS.marks.values()) == ["!KERNEL(U)", "MMU ON", "HEAP: READY", "LAUNCHING SHELL"]
    assert (SIS.ready, SIS.prompt) == ("SIS Kernel Ready", "sis>")
    assert [test.typed(2, 4) for test in SIS.tests.values()] == [
        "perf_test ai_inference",
        "perf_test context_switch",
        "perf_test memory_alloc",
        "consensus_test start_node 2 4",
    ]
    assert SIS.tests["consensus"].success == ("CONSENSUS_SUCCESS",)
    assert SIS.failure == ("PANIC", "FATAL")


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_profile_survives_json(name: str) -> None:
    table = json.loads(json.dumps(PROFILES[name].to_table()))
    assert from_table(table) == PROFILES[name]


def test_a_table_stands_on_a_ready_profile() -> None:
    table = tomllib.loads('profile = "sis"\nprompt = "$"\nlimit = 5\n[tests]\nping = "ping {node}"\n')
    profile = from_table(table)
    assert profile.marks == SIS.marks
    assert (profile.prompt, profile.limit) == ("$", 5.0)
    assert profile.tests == {"ping": ConsoleTest(command="ping {node}")}
    assert from_table({}, "sis") == SIS
    assert from_table({"profile": "ktap"}, "sis") == PROFILES["ktap"], (
        "the table's own word is the nearer one"
    )
    assert from_table({"protocol": "lava"}) == PROFILES["lava"]


def test_a_test_can_have_texts_and_metrics() -> None:
    table = tomllib.loads(
        'prompt = "#"\n[tests.disk]\ncommand = "disk {{x}}"\nsuccess = ["OK", "FINE"]\nmetrics = "disk.read"\n'
    )
    test = from_table(table).tests["disk"]
    assert (test.typed(), test.success, test.metrics) == ("disk {x}", ("OK", "FINE"), ("disk.read",))


@pytest.mark.parametrize(
    ("table", "problem", "remedy"),
    [
        ({"promt": "x"}, f"unknown key 'promt' in {WHERE}", "did you mean 'prompt'?"),
        ({"zzz": 1}, f"unknown key 'zzz' in {WHERE}", "valid are profile, protocol, marks,"),
        ({"profile": "siss"}, f"profile = 'siss' of {WHERE} is unknown", "did you mean 'sis'?"),
        (
            {"profile": "xyz"},
            f"profile = 'xyz' of {WHERE} is unknown",
            "profile is one of sis, ktap, lava, metric",
        ),
        ({"profile": 3}, f"profile = 3 of {WHERE} cannot be", "profile is a text"),
        ({"protocol": "tap"}, f"protocol = 'tap' of {WHERE} is unknown", "did you mean 'ktap'?"),
        ({"marks": ["a"]}, f"marks = ['a'] of {WHERE} cannot be", "marks is a table"),
        ({"marks": {"a": 1}}, f"marks.a = 1 of {WHERE} cannot be", "marks.a is a text"),
        ({"marks": {"A b": "x"}}, f"marks.A b of {WHERE} cannot be", "a name is of at most 100 of"),
        ({"ready": "a\nb"}, f"ready = 'a\\nb' of {WHERE} cannot be", "ready is one line of 1 to 1000"),
        ({"failure": [1]}, f"failure = 1 of {WHERE} cannot be", "failure is a text"),
        (
            {"failure": {"a": 1}},
            f"failure = {{'a': 1}} of {WHERE} cannot be",
            "failure is a text or a list of texts",
        ),
        ({"enter": "x"}, f"enter = 'x' of {WHERE} cannot be", r'enter is "\r", "\n" or "\r\n"'),
        ({"limit": "9"}, f"limit = '9' of {WHERE} cannot be", "limit is a number of seconds"),
        ({"limit": True}, f"limit = True of {WHERE} cannot be", "limit is a number of seconds"),
        ({"limit": 0}, f"limit = 0 of {WHERE} cannot be", "limit is from 0.1 to 86400 seconds"),
        ({"quiet": float("nan")}, f"quiet = nan of {WHERE} cannot be", "quiet is a number of seconds"),
        ({"tests": {"a": 1}}, f"tests.a = 1 of {WHERE} cannot be", "tests.a is a table"),
        ({"tests": {"a": {}}}, f"tests.a of {WHERE} has no command", "say what is typed at the prompt"),
        (
            {"tests": {"a": {"comand": "x"}}},
            f"unknown key 'comand' in tests.a of {WHERE}",
            "did you mean 'command'?",
        ),
        (
            {"tests": {"a": "x {foo}"}},
            f"tests.a.command = 'x {{foo}}' of {WHERE} cannot be",
            "braces hold {node}",
        ),
        ({"tests": {"a": "x {"}}, f"tests.a.command = 'x {{' of {WHERE} cannot be", "braces hold {node}"),
        (
            {"tests": {"a": "x {node!r}"}},
            f"tests.a.command = 'x {{node!r}}' of {WHERE} cannot be",
            "braces hold",
        ),
        ({"tests": {"a": "x"}}, f"{WHERE} has tests but no prompt", "say after which text"),
        (
            {"protocol": "ktap", "prompt": "$", "tests": {"a": "x"}},
            f"{WHERE}: tests cannot be with protocol = 'ktap'",
            "such a kernel starts its tests by itself",
        ),
    ],
)
def test_a_mistake_is_one_clear_sentence(table: dict[str, object], problem: str, remedy: str) -> None:
    with pytest.raises(UsageError) as refusal:
        from_table(table, where=WHERE)
    assert refusal.value.problem == problem
    assert refusal.value.remedy.startswith(remedy)
    assert "\n" not in str(refusal.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([*SIS.to_table(), "profile", "other"])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, JSON, max_size=4))
def test_whatever_stands_in_the_table_is_read_or_refused(table: dict[str, object]) -> None:
    refusal = ""
    try:
        profile = from_table(table, where=WHERE)
    except UsageError as error:
        refusal = str(error)
    if refusal:
        assert WHERE in refusal
        assert len(refusal.splitlines()) == 1
    else:
        assert from_table(profile.to_table()) == profile
