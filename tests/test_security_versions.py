from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.errors import UsageError
from sistasks.protocols.findings import Seen
from sistasks.suites.security import versions, vulnerabilities
from sistasks.suites.security.assess import rows
from sistasks.suites.security.rules import all_rules
from sistasks.suites.security.versions import Version, package_key, read

DEBIAN = (
    b"\0Linux version 6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0, "
    b"GNU ld) #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)\n\0"
)
# as a bzImage has it, where the rest cannot be unpacked
HEADER = b"\x006.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP Debian 6.1.192-2 (2026-11-16)\0"
UBUNTU = (
    b"Linux version 5.15.0-91-generic (buildd@x) (gcc (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0) #101-Ubuntu SMP "
    b"(Ubuntu 5.15.0-91.101-generic 5.15.131)\n\0"
)


class TestOfAKernel:
    @pytest.mark.parametrize(
        ("release", "image", "version", "said"),
        [
            (
                "6.1.0-56-cloud-amd64", DEBIAN,
                Version((6, 1, 192), "6.1.0-56-cloud-amd64", "debian", "6.1.192-2"),
                "6.1.192 (Debian's package 6.1.192-2)",
            ),
            (
                "6.1.0-56-cloud-amd64", HEADER,
                Version((6, 1, 192), "6.1.0-56-cloud-amd64", "debian", "6.1.192-2"),
                "6.1.192 (Debian's package 6.1.192-2)",
            ),
            (
                "5.15.0-91-generic", UBUNTU,
                Version((5, 15, 131), "5.15.0-91-generic", "ubuntu", "5.15.0-91.101"),
                "5.15.131 (Ubuntu's package 5.15.0-91.101)",
            ),
            # of another kernel, and a Debian compiler that is as old as the kernel is not
            ("6.1.0-57-cloud-amd64", DEBIAN, Version((6, 1, 0), "6.1.0-57-cloud-amd64", exact=False), "6.1 (release "),
            ("5.14.0-362.el9.x86_64", b"", Version((5, 14, 0), "5.14.0-362.el9.x86_64", exact=False), "5.14 (release"),
            ("6.8.5-201.fc39", b"", Version((6, 8, 5), "6.8.5-201.fc39"), "6.8.5 (release 6.8.5-201.fc39)"),
            ("6.1.192+", None, Version((6, 1, 192), "6.1.192+"), "6.1.192 (release 6.1.192+)"),
            ("6.1.0-mine", b"", Version((6, 1, 0), "6.1.0-mine"), "6.1.0 (release 6.1.0-mine)"),
            ("6.12.0-rc3+", b"", Version((6, 12, 0), "6.12.0-rc3+", candidate=True), "6.12.0 (release 6.12.0-rc3+)"),
            ("6.6.7", b"", Version((6, 6, 7), "6.6.7"), "6.6.7"),
        ],
    )  # fmt: skip
    def test_is_read(self, release: str, image: bytes | None, version: Version, said: str) -> None:
        assert read(release, image) == version
        assert str(version).startswith(said)

    @pytest.mark.parametrize("release", [None, "", "sis-1.0", "v6.1"])
    def test_is_not_guessed(self, release: str | None) -> None:
        assert read(release, DEBIAN) is None

    @given(st.text(max_size=40), st.binary(max_size=200))
    def test_whatever_comes_is_a_version_or_none(self, release: str, image: bytes) -> None:
        found = read(release, image)
        assert (found is None) == (versions.parse(release) is None)


PACKAGES = st.from_regex(r"[0-9][0-9a-z.+~]{0,8}(-[0-9a-z.+~]{1,6})?", fullmatch=True)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="no dpkg to compare with")
@settings(deadline=None)
@given(PACKAGES, PACKAGES)
def test_packages_are_ordered_as_dpkg_does(one: str, other: str) -> None:
    def dpkg(word: str) -> bool:
        done = subprocess.run(["dpkg", "--compare-versions", one, word, other], check=False)
        return done.returncode == 0

    assert (package_key(one) < package_key(other)) == dpkg("lt")
    assert (package_key(one) == package_key(other)) == dpkg("eq")


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("6.1.99-1", "6.1.112-1"), ("6.1.112-1", "6.1.112-2"), ("6.12~rc6-1~exp1", "6.12-1"),
        ("6.1.1-1~bpo12+1", "6.1.1-1"), ("5.15.0-91.101", "5.15.0-101.1"), ("1.0", "1.0a"), ("1.0a", "1.0+"),
    ],
)  # fmt: skip
def test_packages_in_order(less: str, more: str) -> None:
    assert package_key(less) < package_key(more)


FILE = """
[[advisory]]
id = "EXAMPLE-2026-0001"
severity = "high"
title = "made up: an overflow in a driver"
introduced = ["5.10", "5.4.150"]
fixed = ["5.15.170", "6.1.112", "6.6.54", "6.11"]
source = "nobody"

[[advisory]]
id = "EXAMPLE-2026-0002"
severity = "low"
title = "made up: nobody has mended it"

[[advisory]]
id = "EXAMPLE-2026-0003"
severity = "medium"
title = "made up: mended by distributions, too"
fixed = "6.11"
debian = ["6.1.112-2", "6.10.9-1"]
ubuntu = "5.15.0-91.101"
"""


@pytest.fixture
def advisories(tmp_path: Path) -> Path:
    (tmp_path / "advisories.toml").write_text(FILE)
    return tmp_path / "advisories.toml"


def version(release: str, package: str = "", distribution: str = "debian") -> Version:
    made = read(release, None)
    assert made is not None
    numbers = versions.parse(package) or made.numbers
    return Version(numbers, release, distribution if package else "", package) if package else made


class TestAdvisories:
    def outcomes(self, path: Path, which: Version) -> list[tuple[str, str]]:
        found = vulnerabilities.assess(vulnerabilities.load(str(path)), str(path), which)
        assert found[0].outcome == "pass"
        assert found[0].rule == vulnerabilities.COMPARED
        return [(one.outcome, one.evidence.partition("; ")[2]) for one in found[1:]]

    @pytest.mark.parametrize(
        ("release", "outcome", "why"),
        [
            ("6.1.111", "fail", "fixed in 6.1.112"),
            ("6.1.112", "pass", "fixed in 6.1.112"),
            ("6.1.200", "pass", "fixed in 6.1.112"),
            ("6.6.53", "fail", "fixed in 6.6.54"),
            ("6.2.16", "fail", "fixed in 6.11, and no release of its own series is known that has the fix"),
            ("6.10.14", "fail", "fixed in 6.11, and no release of its own series is known that has the fix"),
            ("6.11.0", "pass", "fixed in 6.11"),
            ("6.12.1", "pass", "fixed in 6.11"),
            ("7.0.0", "pass", "fixed in 6.11"),
            ("6.11.0-rc7", "skip", "fixed in 6.11, of which this is a candidate"),
            ("5.9.16", "pass", "it came with 5.10"),
            ("5.10.1", "fail", "fixed in 6.11, and no release of its own series is known that has the fix"),
            # what was backported to an old series came there later
            ("5.4.149", "pass", "it came with 5.4.150"),
            ("5.4.151", "fail", "fixed in 6.11, and no release of its own series is known that has the fix"),
            ("5.5.1", "pass", "it came with 5.10"),
            # of a distribution's the series alone is known
            (
                "5.14.0-362.el9", "skip",
                "fixed in 6.11; a distribution's release does not say which fixes of its series it has",
            ),
            ("5.8.0-1.el9", "pass", "it came with 5.10"),
            ("6.12.0-1.el10", "pass", "fixed in 6.11"),
        ],
    )  # fmt: skip
    def test_series_by_series(self, advisories: Path, release: str, outcome: str, why: str) -> None:
        assert self.outcomes(advisories, version(release))[0] == (outcome, why)

    def test_what_nobody_mended(self, advisories: Path) -> None:
        assert self.outcomes(advisories, version("9.9.9"))[1] == ("fail", "no release is known that fixes it")

    @pytest.mark.parametrize(
        ("which", "outcome", "why"),
        [
            (version("6.1.0-1-amd64", "6.1.112-1"), "fail", "fixed in Debian's 6.1.112-2"),
            (version("6.1.0-1-amd64", "6.1.112-2"), "pass", "fixed in Debian's 6.1.112-2"),
            (version("6.1.0-1-amd64", "6.1.112-2+deb12u1"), "pass", "fixed in Debian's 6.1.112-2"),
            (version("6.12.0-1-amd64", "6.12.3-1"), "pass", "fixed in 6.11"),
            (
                version("5.15.0-90-generic", "5.15.0-90.100", "ubuntu"),
                "fail",
                "fixed in Ubuntu's 5.15.0-91.101",
            ),
            (
                version("5.15.0-101-generic", "5.15.0-101.1", "ubuntu"),
                "pass",
                "fixed in Ubuntu's 5.15.0-91.101",
            ),
        ],
    )
    def test_a_distributions_own_list_counts(
        self, advisories: Path, which: Version, outcome: str, why: str
    ) -> None:
        assert self.outcomes(advisories, which)[2] == (outcome, why)

    def test_they_are_rules(self, advisories: Path) -> None:
        rules = vulnerabilities.rules(str(advisories))
        assert list(rules) == [f"vulnerability.example-2026-000{number}" for number in (1, 2, 3)]
        first = rules["vulnerability.example-2026-0001"]
        assert (first.severity, first.category, first.source) == ("high", "vulnerability", "nobody")
        assert rules["vulnerability.example-2026-0002"].source == "advisories.toml"
        assert vulnerabilities.rules(str(advisories.with_name("gone"))) == {}

    def test_json_says_the_same(self, advisories: Path) -> None:
        import json
        import tomllib

        other = advisories.with_suffix(".json")
        other.write_text(json.dumps(tomllib.loads(FILE)))
        theirs = [(one.name, one.fixed, one.packages) for one in vulnerabilities.load(str(other))]
        assert theirs == [
            (one.name, one.fixed, one.packages) for one in vulnerabilities.load(str(advisories))
        ]

    def test_without_a_file_there_is_one_finding(self) -> None:
        assert vulnerabilities.load("") == []
        assert vulnerabilities.rules("") == {}
        (said,) = vulnerabilities.assess([], "", version("6.1.1"))
        assert said == Seen(
            "vulnerability.advisories", "skip", "no file of advisories was given: advisories=PATH"
        )

    def test_without_a_version_nothing_is_compared(self, advisories: Path) -> None:
        (said,) = vulnerabilities.assess(vulnerabilities.load(str(advisories)), str(advisories), None)
        assert said.outcome == "skip"

    @given(st.integers(0, 7), st.integers(0, 20), st.integers(0, 200), st.integers(0, 100))
    def test_a_later_release_of_a_series_is_never_worse(
        self, major: int, minor: int, patch: int, more: int
    ) -> None:
        advisory = vulnerabilities.Advisory(
            name="vulnerability.x", severity="low", title="t", source="s", introduced=(),
            fixed=((5, 15, 170), (6, 1, 112), (6, 11, 0)), packages={},
        )  # fmt: skip

        def outcome(number: int) -> str:
            return vulnerabilities.judge(advisory, Version((major, minor, number), "x")).outcome

        assert outcome(patch) == "fail" or outcome(patch + more) == "pass"


FIRST = '[[advisory]]\nid = "a"\nseverity = "low"\ntitle = "t"\n'


class TestBadFiles:
    @pytest.mark.parametrize(
        ("text", "problem", "remedy"),
        [
            ("", "{path} has no advisory", "docs/security.md shows how such a file looks"),
            ("advisory = 3", "{path} has no advisory", "docs/security.md shows how such a file looks"),
            ("advisory = [3]", "advisory 1 in {path} is no table", None),
            ("x = 1\n" + FIRST, "unknown key 'x' in {path}", None),
            (FIRST + "fixd = '6.1'", "unknown key 'fixd' in advisory 1 in {path}", "did you mean 'fixed'?"),
            ('[[advisory]]\nid = "a"', "advisory 1 in {path} has no severity", "write severity = ..."),
            (FIRST + FIRST.replace("low", "bad"), "severity = 'bad' of advisory 2 in {path} cannot be", None),
            (FIRST + FIRST, "the id 'a' of advisory 2 in {path} is taken", None),
            (FIRST.replace('"a"', '"advisories"'), "the id 'advisories' of advisory 1 in {path} is taken", None),
            (FIRST.replace('"a"', '"a b"'), "id = 'a b' of advisory 1 in {path} cannot be", None),
            (FIRST + "fixed = 6.1", "fixed = 6.1 of advisory 1 in {path} cannot be", "fixed is a text"),
            (
                FIRST + "fixed = ['6.1.x']", "fixed = ['6.1.x'] of advisory 1 in {path} cannot be",
                "fixed is releases such as '6.1.112', which '6.1.x' is not",
            ),
            (
                FIRST + "fixed = ['6.1.1', '6.1.2']", "fixed = ['6.1.1', '6.1.2'] of advisory 1 in {path} cannot be",
                "fixed is one release of each series",
            ),
            (FIRST + "fixed = [", "advisories={path} cannot be understood: Invalid value (at end of document)", None),
        ],
    )  # fmt: skip
    def test_one_sentence_names_the_entry(
        self, tmp_path: Path, text: str, problem: str, remedy: str | None
    ) -> None:
        path = tmp_path / "a.toml"
        path.write_text(text)
        with pytest.raises(UsageError) as caught:
            vulnerabilities.load(str(path))
        assert caught.value.problem == problem.format(path=path)
        assert caught.value.exit_code == 3
        assert remedy is None or caught.value.remedy == remedy

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "gone"):
            with pytest.raises(UsageError, match="cannot be read: "):
                vulnerabilities.load(str(path))

    def test_what_is_no_text(self, tmp_path: Path) -> None:
        for name, data in {
            "a.toml": b"\xff",
            "b.json": b"[" * 100_000,
            "c.json": b'{"advisory": [1,]}',
        }.items():
            (tmp_path / name).write_bytes(data)
            with pytest.raises(UsageError, match="cannot be understood: "):
                vulnerabilities.load(str(tmp_path / name))


def test_a_rule_of_the_users_becomes_a_row(advisories: Path) -> None:
    import time

    from sistasks.cluster.nodes import NodeReport
    from sistasks.machine.results import GuestResults

    found = vulnerabilities.assess(vulnerabilities.load(str(advisories)), str(advisories), version("6.1.111"))
    now = time.monotonic()
    report = NodeReport(
        number=0, seed=0, results=GuestResults(findings=list(found), done=True), error=None, started=now, ready=now,
        finished=now, console=advisories, tail="",
    )  # fmt: skip
    told = rows([report], vulnerabilities.rules(str(advisories)))
    assert [(row.rule, row.severity, row.outcome) for row in told] == [
        ("vulnerability.advisories", "info", "pass"),
        ("vulnerability.example-2026-0001", "high", "fail"),
        ("vulnerability.example-2026-0002", "low", "fail"),
        ("vulnerability.example-2026-0003", "medium", "fail"),
    ]
    assert vulnerabilities.COMPARED in all_rules()


def test_the_page_shows_a_file_that_is_understood(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parent.parent / "docs" / "security.md"
    found = re.search(
        r"<!-- example: advisories\.toml[^>]*-->\n```toml\n(.*?)```", page.read_text(), re.DOTALL
    )
    assert found is not None
    path = tmp_path / "advisories.toml"
    path.write_text(found[1])
    (advisory,) = vulnerabilities.load(str(path))
    table = page.read_text()[found.end() :]
    said = {
        release: word
        for line in re.findall(r"^\| ([^|]*) \| `(\w+)`", table, re.MULTILINE)
        for release, word in [(one.strip(), line[1]) for one in line[0].split(",")]
    }
    packages = {
        release: release.removeprefix("Debian's ") for release in said if release.startswith("Debian's ")
    }
    assert len(said) >= 11
    for release, outcome in said.items():
        which = version("6.1.0-1-amd64", packages[release]) if release in packages else version(release)
        assert vulnerabilities.judge(advisory, which).outcome == outcome, release
