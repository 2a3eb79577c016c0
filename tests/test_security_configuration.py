from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.errors import UsageError
from sistasks.kernels import Kernel, kconfig
from sistasks.protocols.findings import Seen
from sistasks.suites.security import configuration, versions
from sistasks.suites.security.conditions import Condition, parse_all
from sistasks.suites.security.rules import load

if TYPE_CHECKING:
    from pathlib import Path

ARCHES = ("x86_64", "arm64", "arm", "riscv64")
NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True)
VALUES = st.sampled_from(["y", "m", "n", "64", "0x40", '"a,b"', '""'])


def seen(config: str, arch: str = "x86_64", release: str = "6.1.192") -> dict[str, Seen]:
    values = kconfig.parse(config, "x")
    return {one.rule: one for one in configuration.judge(values, arch, versions.read(release, None))}


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        ("A=y", "y", True), ("A=y", "m", False), ("A=y", None, False), ("A=y|m", "m", True),
        ("A is not set", None, True), ("A is not set", "n", True), ("A is not set", "m", False),
        ("A>=65536", "65536", True), ("A>=65536", "0x10000", True), ("A>=65536", "4096", False), ("A>=0", None, False),
        ("A=176", "0xb0", True), ("A=176|0", "0x0", True), ("A=176", "0x1b6", False), ("A=16", "010", False),
        ("A contains b", '"a,b,c"', True), ("A contains b", '"a,bc"', False), ("A contains b", None, False),
    ],
)  # fmt: skip
def test_every_form_of_a_condition(condition: str, value: str | None, holds: bool) -> None:
    assert Condition.parse(condition).holds({} if value is None else {"A": value}) is holds


@pytest.mark.parametrize(
    "text", ["", "A", "A=", "a=y", "A is set", "A>=y", "A = y", "CONFIG A=y", "A contains "]
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no condition on a configuration"):
        Condition.parse(text)


@given(NAMES, VALUES, st.dictionaries(NAMES, VALUES))
def test_a_condition_is_about_its_option_alone(name: str, value: str, others: dict[str, str]) -> None:
    for text in (f"{name}=y", f"{name} is not set", f"{name}>=60", f"{name} contains a"):
        condition = Condition.parse(text)
        assert condition.holds({**others, name: value}) == condition.holds({name: value})
        assert name in condition.seen(others)
    assert Condition.parse(f"{name} is not set").holds({name: value}) == (value == "n")


class TestRules:
    def test_there_are_enough_and_each_can_be_read(self) -> None:
        rules = load("config")
        assert len(rules) > 100
        for name, rule in rules.items():
            assert name.startswith("config.")
            if name == configuration.AVAILABLE:
                continue
            keys = {"want", "when", "architectures", "since", "until", "known"}
            assert rule.more.keys() <= keys, name
            assert parse_all(rule.more["want"])
            parse_all(rule.more.get("when", []))
            assert set(rule.more.get("architectures", ARCHES)) <= set(ARCHES), name
            since = rule.more.get("since", "1.0")
            for bound in [
                *(since.values() if isinstance(since, dict) else [since]),
                rule.more.get("until", "9.0"),
            ]:
                assert versions.parse(bound), name
            if isinstance(since, dict):
                assert set(since) == set(rule.more["architectures"]), name

    @pytest.mark.parametrize("arch", ARCHES)
    def test_each_architecture_gets_its_rules_and_no_others(self, arch: str) -> None:
        told = seen("", arch)
        rules = load("config")
        assert set(told) == {
            name
            for name, rule in rules.items()
            if name != configuration.AVAILABLE and arch in rule.more.get("architectures", ARCHES)
        }
        assert all(one.evidence for one in told.values())

    def test_every_rule_is_for_somebody(self) -> None:
        told = {name for arch in ARCHES for name in seen("", arch)}
        assert told | {configuration.AVAILABLE} == set(load("config"))

    @pytest.mark.parametrize("name", [name for name in load("config") if name != configuration.AVAILABLE])
    def test_every_rule_can_pass_and_fail(self, name: str) -> None:
        """A configuration made from what it asks for, and one that says the contrary of all of it."""
        more = load("config")[name].more
        arch = more.get("architectures", ("x86_64",))[0]
        release = (
            "5.4.1"
            if "until" in more and more["until"] < "5.6"
            else "5.16.1"
            if "until" in more
            else "6.12.1"
        )
        wanted = parse_all(more["want"])
        met = "".join(map(_line, parse_all(more.get("when", []))))
        assert seen(met + _line(wanted[0]), arch, release)[name].outcome == "pass"
        against = "".join(_contrary(one) for one in wanted)
        found = seen(met + against, arch, release)[name]
        assert found.outcome == "fail"
        assert f"wanted: CONFIG_{wanted[0].text}" in found.evidence


def _line(condition: Condition) -> str:
    """A line of a configuration that fulfils a condition."""
    if condition.least is not None:
        return f"CONFIG_{condition.name}={condition.least}\n"
    if condition.word:
        return f'CONFIG_{condition.name}="x,{condition.word}"\n'
    if condition.values:
        return f"CONFIG_{condition.name}={condition.values[0]}\n"
    return f"# CONFIG_{condition.name} is not set\n"


def _contrary(condition: Condition) -> str:
    if condition.least is not None:
        return f"CONFIG_{condition.name}={condition.least - 1}\n"
    if condition.values or condition.word:
        return f"# CONFIG_{condition.name} is not set\n"
    return f"CONFIG_{condition.name}=m\n"


def test_evidence_says_what_is_there() -> None:
    told = seen("# CONFIG_STRICT_KERNEL_RWX is not set\nCONFIG_DEVMEM=y\nCONFIG_RANDOMIZE_BASE=y\n")
    assert told["config.strict_kernel_rwx"] == Seen(
        "config.strict_kernel_rwx", "fail",
        "CONFIG_STRICT_KERNEL_RWX is not set; wanted: CONFIG_STRICT_KERNEL_RWX=y or CONFIG_DEBUG_RODATA=y",
    )  # fmt: skip
    assert told["config.randomize_base"].evidence == "CONFIG_RANDOMIZE_BASE=y"
    assert (
        told["config.strict_devmem"].evidence
        == "CONFIG_STRICT_DEVMEM is not there; wanted: CONFIG_STRICT_DEVMEM=y"
    )
    assert told["config.devkmem"] == Seen("config.devkmem", "pass", "CONFIG_DEVKMEM is not there")


def test_a_rule_that_does_not_apply_says_why() -> None:
    told = seen("CONFIG_CPU_MITIGATIONS=y\n")
    assert told["config.module_sig"] == Seen(
        "config.module_sig", "skip", "only with CONFIG_MODULES=y: CONFIG_MODULES is not there"
    )
    assert told["config.legacy_tiocsti"].evidence == "Linux has it since 6.2; this is 6.1.192"
    assert told["config.smap"].evidence == "of Linux before 5.17 only; this is 6.1.192"
    assert told["config.rfds"].evidence == "its configuration says nothing of CONFIG_MITIGATION_RFDS"
    assert {told[f"config.{name}"].outcome for name in ("legacy_tiocsti", "smap", "rfds")} == {"skip"}
    assert seen("# CONFIG_MITIGATION_RFDS is not set\n")["config.rfds"].outcome == "fail"


def test_since_is_for_each_architecture() -> None:
    assert seen("", "riscv64", "6.5.9")["config.randomize_base"].outcome == "skip"
    assert seen("", "riscv64", "6.6.0")["config.randomize_base"].outcome == "fail"
    assert seen("", "arm64", "4.6.0")["config.randomize_base"].outcome == "fail"


def test_without_a_version_all_rules_apply() -> None:
    found = {one.rule: one.outcome for one in configuration.judge({}, "x86_64", None)}
    assert found["config.legacy_tiocsti"] == "pass"
    assert found["config.user_shadow_stack"] == found["config.smap"] == "fail"


class TestWhereItIsFound:
    TEXT = "CONFIG_A=y\n# CONFIG_B is not set\n"

    def kernel(self, folder: Path, config: Path | None = None, modules: Path | None = None) -> Kernel:
        return Kernel(
            name="x", arch="x86_64", image=folder / "vmlinuz", sha256="0", release="6.1.1", format="Image", size=0,
            provider="file", config=config, modules=modules,
        )  # fmt: skip

    def embed(self) -> bytes:
        return b"\0IKCFG_ST\0decoy" + b"IKCFG_ST" + gzip.compress(self.TEXT.encode()) + b"IKCFG_ED\0"

    def test_beside_the_image(self, tmp_path: Path) -> None:
        (tmp_path / "config").write_text(self.TEXT)
        found = configuration.read(self.kernel(tmp_path, config=tmp_path / "config"), b"")
        assert found == configuration.Configuration({"A": "y", "B": "n"}, "config")
        said = configuration.assess(found, "x86_64", None)
        assert said[0] == Seen("config.available", "pass", "2 options from config")
        assert len(said) > 80

    def test_in_the_image(self, tmp_path: Path) -> None:
        found = configuration.read(self.kernel(tmp_path), b"code" + self.embed())
        assert found == configuration.Configuration({"A": "y", "B": "n"}, "IKCONFIG in the image")

    def test_in_its_module(self, tmp_path: Path) -> None:
        (tmp_path / "kernel").mkdir()
        (tmp_path / "kernel" / "configs.ko.gz").write_bytes(gzip.compress(b"\x7fELF" + self.embed()))
        found = configuration.read(self.kernel(tmp_path, modules=tmp_path), b"")
        assert found == configuration.Configuration({"A": "y", "B": "n"}, "IKCONFIG in its module configs")

    def test_nowhere_is_one_finding(self, tmp_path: Path) -> None:
        for body in (b"IKCFG_ST" + gzip.compress(b"no options"), b"", None):
            found = configuration.read(self.kernel(tmp_path), body)
            (said,) = configuration.assess(found, "x86_64", None)
            assert (said.rule, said.outcome) == ("config.available", "skip")
            assert said.evidence.startswith(
                "no configuration lies beside the image, and the image has none in it"
            )

    def test_what_cannot_be_read_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "config").write_text("CONFIG_A=y\nnonsense\n")
        for path in (tmp_path / "config", tmp_path / "gone"):
            found = configuration.read(self.kernel(tmp_path, config=path), b"")
            (said,) = configuration.assess(found, "x86_64", None)
            assert (said.rule, said.outcome) == ("config.available", "error")
        found = configuration.read(self.kernel(tmp_path, config=tmp_path / "config"), b"")
        assert found == Seen("config.available", "error", "line 2 of config is no setting: 'nonsense'")

    @given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 200))
    def test_any_bytes_behind_the_mark(self, noise: bytes, at: int, cut: int) -> None:
        data = bytearray(self.embed())
        data[at : at + len(noise)] = noise
        text = configuration.embedded(bytes(data[:cut]))
        if text is not None:
            try:
                kconfig.parse(text, "x")
            except UsageError:
                return
