"""Variables: precedence, ranges and refusals that name the value and where it came from."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.errors import UsageError
from sistasks.kinds import MIB, host_arch, host_cpus, host_memory, show_size
from sistasks.settings import Settings, attribute, names, resolve, variable_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOWHERE = Path("/nonexistent/pyproject.toml")
ENVIRONMENT = {row[0]: row[3] for row in variable_table() if row[3]}


def from_command_line(values: Mapping[str, object]) -> Settings:
    return resolve(values, environ={}, pyproject=NOWHERE)


def refused(call: Callable[[], Settings]) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def pyproject(tmp_path: Path) -> Callable[[str], Path]:
    def write(table: str) -> Path:
        path = tmp_path / "pyproject.toml"
        path.write_text(f'[project]\nname = "theirs"\n[tool.other]\nnodes = 99\n{table}\n')
        return path

    return write


def test_defaults_are_the_contract() -> None:
    plain = from_command_line({})
    assert plain.nodes == 10
    assert plain.timeout == 300.0
    assert plain.memory == 256 * MIB
    assert plain.cpus == min(4, host_cpus())
    assert plain.output == Path("target/testing")
    assert (plain.verbose, plain.quiet, plain.clone) == (False, False, True)
    assert plain.iterations == 1000
    assert plain.arch == host_arch()
    assert plain.kernel == "debian"
    assert (plain.boot, plain.accel, plain.clock, plain.targets) == ("auto", "auto", "auto", "auto")
    assert (plain.seed, plain.runs, plain.confidence) == (1, 1, 0.99)
    assert plain.db == Path("results.db")
    assert plain.given == frozenset()


def test_command_line_wins_over_environment_wins_over_pyproject(pyproject: Callable[[str], Path]) -> None:
    file = pyproject("[tool.sistasks]\nnodes = 3\nseed = 5\nquiet = true")
    environ = {"SIS_TEST_NODES": "4", "SIS_TEST_TIMEOUT": "20"}
    assert resolve({}, environ={}, pyproject=file).nodes == 3
    assert resolve({}, environ=environ, pyproject=file).nodes == 4
    all_three = resolve({"nodes": "5"}, environ=environ, pyproject=file)
    assert (all_three.nodes, all_three.seed, all_three.timeout, all_three.quiet) == (5, 5, 20.0, True)
    assert all_three.given == {"nodes", "seed", "timeout", "quiet"}


def test_a_better_origin_hides_a_bad_value(pyproject: Callable[[str], Path]) -> None:
    file = pyproject("[tool.sistasks]\nnodes = 0")
    assert resolve({"nodes": "2"}, environ={"SIS_TEST_NODES": "abc"}, pyproject=file).nodes == 2


def test_an_empty_environment_variable_is_not_set() -> None:
    assert resolve({}, environ={"SIS_TEST_NODES": ""}, pyproject=NOWHERE).given == frozenset()


def test_the_real_environment_and_directory_are_the_default(
    pyproject: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pyproject("[tool.sistasks]\nseed = 7").parent)
    monkeypatch.setenv("SIS_TEST_NODES", "8")
    assert (resolve().seed, resolve().nodes) == (7, 8)


BAD = [
    ("nodes", "0", "a whole number from 1 to 1000"),
    ("nodes", "-1", "a whole number from 1 to 1000"),
    ("nodes", "1e9", "a whole number from 1 to 1000"),
    ("nodes", "1000000000", "a whole number from 1 to 1000"),
    ("nodes", "abc", "a whole number from 1 to 1000"),
    ("nodes", "2.0", "a whole number from 1 to 1000"),
    ("nodes", "", "a whole number from 1 to 1000"),
    ("memory", "1M", "a size from 16M to "),
    ("memory", "64K", "a size from 16M to "),
    ("memory", "20000K", "a size from 16M to "),
    ("memory", "512T", "a size from 16M to "),
    ("memory", "-256M", "a size from 16M to "),
    ("memory", "256\N{KELVIN SIGN}", "a size from 16M to "),
    ("cpus", "0", f"a whole number from 1 to {host_cpus()}"),
    ("cpus", str(host_cpus() + 1), f"a whole number from 1 to {host_cpus()}"),
    ("timeout", "0", "a number from 0.1 to 86400"),
    ("timeout", "nan", "a number from 0.1 to 86400"),
    ("timeout", "inf", "a number from 0.1 to 86400"),
    ("timeout", "-inf", "a number from 0.1 to 86400"),
    ("iterations", "9", "a whole number from 10 to 1000000"),
    ("confidence", "1", "a number from 0.5 to 0.9999"),
    ("seed", "-1", "a whole number from 0 to 2147483647"),
    ("verbose", "perhaps", "yes or no"),
    ("clone", "", "yes or no"),
    ("arch", "sparc", "one of x86_64, arm64, arm, riscv64, several with commas, or all"),
    ("boot", "UEFI", "one of auto, uefi, direct"),
    ("accel", "xen", "one of auto, tcg, kvm, hvf"),
    ("clock", "sundial", "one of auto, virtual, wall"),
    ("targets", "no", "one of auto, enforce, report"),
    ("kernel", "  ", "a name or a path"),
    ("kernel", "a\0b", "a name or a path"),
    ("output", "", "a path"),
    ("output", "~nobody-has-this-name/x", "a path"),
]


@pytest.mark.parametrize(("name", "value", "valid"), BAD)
def test_a_bad_value_is_refused_with_its_range(name: str, value: str, valid: str) -> None:
    sentence = refused(lambda: from_command_line({name: value}))
    shown = value if value.isprintable() else repr(value)[1:-1]
    assert sentence.startswith(f"{name}={shown} cannot be; {name} is {valid}")


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, value, _ in BAD if name in ENVIRONMENT and value]
)
def test_a_bad_value_from_the_environment_names_the_variable(name: str, value: str) -> None:
    environ = {ENVIRONMENT[name]: value}
    sentence = refused(lambda: resolve({}, environ=environ, pyproject=NOWHERE))
    assert sentence.startswith(f"{name}={value} from {ENVIRONMENT[name]} cannot be; {name} is ")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("nodes = 0", "nodes=0"),
        ("nodes = -1", "nodes=-1"),
        ("nodes = 1e9", "nodes=1000000000.0"),
        ('nodes = "abc"', "nodes=abc"),
        ("nodes = [1]", "nodes=[1]"),
        ("nodes = true", "nodes=yes"),
        ('memory = "1M"', "memory=1M"),
        ('memory = "512T"', "memory=512T"),
        ("cpus = 0", "cpus=0"),
        ("timeout = nan", "timeout=nan"),
        ("timeout = inf", "timeout=inf"),
        ("verbose = 2", "verbose=2"),
    ],
)
def test_a_bad_value_from_pyproject_names_the_file(
    pyproject: Callable[[str], Path], line: str, shown: str
) -> None:
    file = pyproject(f"[tool.sistasks]\n{line}")
    sentence = refused(lambda: resolve({}, environ={}, pyproject=file))
    assert sentence.startswith(f"{shown} in {file} cannot be; ")


def test_a_guest_larger_than_this_machine_is_refused() -> None:
    more = f"{host_memory() // MIB + 1}M"
    sentence = refused(lambda: from_command_line({"memory": more}))
    assert f"memory={more} cannot be" in sentence
    assert f"{host_memory() // MIB}M (this machine's memory)" in sentence


@pytest.mark.skipif(host_memory() >= 512 << 30, reason="this machine has 512G")
def test_512_gibibytes_are_refused() -> None:
    assert "memory=512G cannot be" in refused(lambda: from_command_line({"memory": "512G"}))


def test_an_unknown_name_is_refused_with_the_nearest(pyproject: Callable[[str], Path]) -> None:
    assert refused(lambda: from_command_line({"node": "10"})) == (
        "unknown variable 'node'; did you mean 'nodes'?"
    )
    file = pyproject("[tool.sistasks]\nitterations = 10")
    assert refused(lambda: resolve({}, environ={}, pyproject=file)) == (
        f"unknown variable 'itterations' in {file}; did you mean 'iterations'?"
    )


def test_an_unknown_name_near_to_none_is_refused_with_all() -> None:
    sentence = refused(lambda: from_command_line({"zzzzzz": "1"}))
    assert sentence == "unknown variable 'zzzzzz'; valid are " + ", ".join(names())


def test_given_is_no_variable() -> None:
    assert "given" not in names()
    assert "unknown variable 'given'" in refused(lambda: from_command_line({"given": "nodes"}))


@pytest.mark.parametrize("text", ["1", "true", "yes", "on", "YES", "True"])
def test_yes(text: str) -> None:
    assert from_command_line({"quiet": text}).quiet is True


@pytest.mark.parametrize("text", ["0", "false", "no", "off", "OFF", "False"])
def test_no(text: str) -> None:
    assert from_command_line({"clone": text}).clone is False


def test_a_yes_of_python_is_a_yes() -> None:
    assert from_command_line({"quiet": True}).quiet is True
    assert from_command_line({"clone": False}).clone is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [("64M", 64), ("64", 64), ("64m", 64), ("64MiB", 64), ("64MB", 64), ("65536K", 64), ("1G", 1024)],
)
def test_sizes(text: str, expected: int) -> None:
    assert from_command_line({"memory": text}).memory == expected * MIB


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (256 * MIB, "256M"),
        (1 << 30, "1G"),
        (1536 * MIB, "1536M"),
        (144 << 20, "144M"),
        (4096, "4K"),
        (100, "100"),
        (MIB + 1, "1M"),
    ],
)
def test_sizes_are_shown_as_typed(size: int, shown: str) -> None:
    assert show_size(size) == shown


@given(st.integers(16, host_memory() // MIB))
def test_a_shown_size_is_read_back(mebibytes: int) -> None:
    assert from_command_line({"memory": show_size(mebibytes * MIB)}).memory == mebibytes * MIB


def test_paths_know_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/of/somebody")
    assert from_command_line({"db": "~/h.db"}).db == Path("/home/of/somebody/h.db")


def test_values_that_cannot_be_together() -> None:
    both = refused(lambda: from_command_line({"verbose": "yes", "quiet": "yes"}))
    assert both == "verbose and quiet cannot be together; set one of them"
    for accel in ("kvm", "hvf"):
        sentence = refused(lambda accel=accel: from_command_line({"clock": "virtual", "accel": accel}))  # type: ignore[misc]
        assert sentence.startswith(f"clock=virtual cannot be with accel={accel}; ")
    assert from_command_line({"clock": "virtual", "accel": "tcg"}).clock == "virtual"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[tool.sistasks\n", "cannot be read"),
        ("tool = 1\n", "tool in"),
        ("[tool]\nsistasks = 5\n", "sistasks in"),
        ("[[tool.sistasks]]\nnodes = 5\n", "sistasks in"),
    ],
)
def test_a_pyproject_that_makes_no_sense_is_named(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(text)
    sentence = refused(lambda: resolve({}, environ={}, pyproject=file))
    assert str(file) in sentence
    assert reason in sentence


def test_a_pyproject_that_is_a_folder_or_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b'a = "\xe4"\n')
    for path in (tmp_path, tmp_path / "latin"):
        assert f"{path} cannot be read" in refused(
            lambda path=path: resolve({}, environ={}, pyproject=path)  # type: ignore[misc]
        )


def test_no_pyproject_or_one_of_others_is_fine(tmp_path: Path) -> None:
    other = tmp_path / "pyproject.toml"
    other.write_text("[project]\n")
    assert resolve({}, environ={}, pyproject=other) == resolve({}, environ={}, pyproject=NOWHERE)


def test_a_variable_may_be_called_what_python_keeps_for_itself() -> None:
    asked = from_command_line({"from": "~/other.db"})
    assert (asked.other, asked.given) == (Path.home() / "other.db", frozenset({"from"}))
    assert refused(lambda: from_command_line({"other": "x"})).startswith("unknown variable 'other'")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        from_command_line({}).nodes = 2  # type: ignore[misc]


@settings(max_examples=500)
@given(st.sampled_from(names()), st.text() | st.text("0123456789.+-eEkKmMgGiB_ \n\u212a\u0130\u0131"))
def test_any_text_parses_or_is_refused_by_name_and_value(name: str, text: str) -> None:
    variable = ENVIRONMENT.get(name, "")
    for values, environ, origin in (({name: text}, {}, ""), ({}, {variable: text}, f" from {variable}")):
        try:
            value = getattr(resolve(values, environ=environ, pyproject=NOWHERE), attribute(name))
        except UsageError as error:
            shown = text if text.isprintable() else repr(text)[1:-1]
            assert str(error).startswith(f"{name}={shown}{origin} cannot be; {name} is ")  # noqa: PT017
            assert str(error).isprintable()  # noqa: PT017
        else:
            assert isinstance(value, type(getattr(from_command_line({}), attribute(name))))


@given(st.text())
def test_any_name_is_known_or_refused(name: str) -> None:
    if name in names():
        return
    sentence = refused(lambda: from_command_line({name: "1"}))
    assert sentence.startswith("unknown variable '")


def test_the_table_shows_every_variable() -> None:
    table = {name: rest for name, *rest in variable_table()}
    assert list(table) == names()
    for name, (default, valid, _, help_text) in table.items():
        assert default, name
        assert valid, name
        assert help_text, name
    assert table["timeout"][0] == "300"
    assert table["clone"][0] == "yes"
    assert table["quiet"][0] == "no"
    assert ENVIRONMENT == {
        "nodes": "SIS_TEST_NODES",
        "timeout": "SIS_TEST_TIMEOUT",
        "verbose": "SIS_VERBOSE",
        "quiet": "SIS_QUIET",
        "qemu": "SIS_QEMU_PATH",
    }


def test_the_host_is_described_as_it_is() -> None:
    assert host_cpus() <= (os.cpu_count() or 1)
    assert host_memory() > 64 * MIB
    assert host_arch() not in {"aarch64", "amd64"}
