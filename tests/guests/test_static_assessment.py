"""The distribution's real kernel, assessed as it is: nothing is booted for it but what other tests boot anyway."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from sistasks import build_records
from sistasks.kernels import Kernel
from sistasks.settings import resolve
from sistasks.suites.security import static
from sistasks.suites.security.rules import all_rules

if TYPE_CHECKING:
    from guest_project import Project

    from sistasks.protocols.findings import Seen
    from sistasks.suites.recipe import Recipe

pytestmark = pytest.mark.guest


@pytest.fixture(scope="module")
def kernel(project: Project) -> Kernel:
    settings = resolve(
        {"output": str(project.folder / "target/testing")}, environ={}, pyproject=Path("/nonexistent")
    )
    return Kernel.from_json(build_records.kernel_record(settings).read_text())


@pytest.fixture(scope="module")
def told(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    path = tmp_path_factory.mktemp("advisories") / "advisories.toml"
    path.write_text(
        '[[advisory]]\nid = "EXAMPLE-1"\nseverity = "low"\ntitle = "made up"\nfixed = "3.2"\n'
        '[[advisory]]\nid = "EXAMPLE-2"\nseverity = "low"\ntitle = "made up"\nfixed = "99.1"\n'
    )
    recipe = SimpleNamespace(kernel=kernel, settings=SimpleNamespace(advisories=str(path)))
    found = static.assess(cast("Recipe", recipe))
    assert tuple(found) == static.TESTS
    return {one.rule: one for items in found.values() for one in items}


def test_every_rule_for_this_architecture_is_told_of(kernel: Kernel, told: dict[str, Seen]) -> None:
    ours = {name for name in told if not name.startswith("vulnerability.example-")}
    assert ours <= set(all_rules())
    expected = {
        name
        for name, rule in all_rules().items()
        if rule.category == "config" and kernel.arch in rule.more.get("architectures", (kernel.arch,))
    }
    assert {name for name in ours if name.startswith("config.")} == expected
    assert {name for name in ours if name.startswith("image.")} <= {
        name for name, rule in all_rules().items() if rule.category == "image"
    }
    assert not [one for one in told.values() if one.outcome == "error"]


def test_what_every_distribution_has_is_seen(kernel: Kernel, told: dict[str, Seen]) -> None:
    assert kernel.config is not None
    assert kernel.config.name in told["config.available"].evidence
    passed = {name for name, one in told.items() if one.outcome == "pass"}
    assert passed >= {
        "config.strict_kernel_rwx", "config.stackprotector_strong", "config.hardened_usercopy", "config.strict_devmem",
        "image.readable", "image.stack_protector", "image.fortify",
    }  # fmt: skip
    if kernel.arch == "x86_64":
        assert passed >= {
            "config.page_table_isolation",
            "config.retpoline",
            "image.retpolines",
            "image.relocatable",
        }
        # an ELF file inside, whose headers were read
        assert told["image.w_xor_x"].outcome == told["image.build_id"].outcome == "pass"
    # a distribution's kernel has to run everything
    assert told["config.kexec"].outcome == "fail"


def test_its_package_tells_its_version(told: dict[str, Seen]) -> None:
    said = told["vulnerability.advisories"].evidence
    assert "(Debian's package " in said
    assert not said.startswith(("6.1.0 ", "6.12.0 "))  # which is what uname says of some of them
    assert told["vulnerability.example-1"].outcome == "pass"
    assert told["vulnerability.example-2"].outcome == "fail"
