from __future__ import annotations

import dataclasses
import os
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import apt_archive
import pytest

from sistasks.errors import FetchError, KernelImageError, SistasksError, ToolMissing, UsageError
from sistasks.kernels import Kernel, provider
from sistasks.kernels.file import ImageFile
from sistasks.kernels.host import Host
from sistasks.kernels.image import inspect, parse
from sistasks.kernels.modules import closure
from sistasks.kernels.package import DebianPackage
from sistasks.protocols.profile import SIS
from sistasks.settings import resolve

if TYPE_CHECKING:
    from sistasks.settings import Settings

DEBIAN = shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None
needs_apt = pytest.mark.skipif(not DEBIAN, reason="needs a Debian-like system")


def asked(**values: str) -> Settings:
    return resolve({"arch": "x86_64", **values}, environ={}, pyproject=Path("/nonexistent"))


def silent(_line: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("debian")


@pytest.fixture(scope="session")
def debian(folder: Path) -> Kernel:
    if not DEBIAN:
        pytest.skip("needs a Debian-like system")
    return DebianPackage().provide(asked(), folder, silent)


@pytest.fixture
def boot(tmp_path: Path, debian: Kernel) -> Path:
    """A system's root with the real image, as its distribution would install it."""
    (tmp_path / "boot").mkdir()
    shutil.copy(debian.image, tmp_path / "boot")
    return tmp_path


class TestChoice:
    @pytest.mark.parametrize(
        ("name", "kind"), [("debian", DebianPackage), ("host", Host), (__file__, ImageFile)]
    )
    def test_name_or_path(self, name: str, kind: type) -> None:
        assert isinstance(provider(asked(kernel=name)), kind)

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("debain", "kernel=debain: no such kernel, no such file; did you mean 'debian'?"),
            ("Host", "kernel=Host: no such kernel, no such file; did you mean 'host'?"),
            (
                "./vmlinuz",
                "kernel=./vmlinuz: no such kernel, no such file; "
                "kernel is debian, host, source, or the path of an image",
            ),
            (
                "~nobody-here/x",
                "kernel=~nobody-here/x: no such kernel, no such file; kernel is debian, ",
            ),
        ],
    )
    def test_neither(self, name: str, says: str) -> None:
        with pytest.raises(UsageError) as caught:
            provider(asked(kernel=name))
        assert str(caught.value).startswith(says)

    def test_impossible_name(self) -> None:
        with pytest.raises(UsageError, match="no such file"):
            provider(asked(kernel="x" * 5000))


class TestRecord:
    def test_json_gives_the_same_record(self, debian: Kernel) -> None:
        assert Kernel.from_json(debian.to_json()) == debian
        bare = dataclasses.replace(debian, modules=None, config=None, config_sha256="", release=None)
        assert Kernel.from_json(bare.to_json()) == bare
        foreign = dataclasses.replace(
            bare, esp=Path("/esp"), initramfs=Path("/initrd"), command_line="quiet", console=SIS,
            git_commit="a" * 40, git_parent="b" * 40, git_dirty=True,
        )  # fmt: skip
        assert Kernel.from_json(foreign.to_json()) == foreign

    @pytest.mark.parametrize("text", ["", "{}", "[]", "7", '{"name": "x"}', '{"image": 1, "modules": 2}'])
    def test_what_is_no_record_is_refused(self, text: str) -> None:
        with pytest.raises(SistasksError, match="the record of the kernel cannot be read"):
            Kernel.from_json(text)


class TestDebian:
    def test_real_package(self, debian: Kernel) -> None:
        assert (debian.name, debian.arch, debian.provider, debian.format) == (
            "debian", "x86_64", "debian", "bzImage",
        )  # fmt: skip
        assert debian.release
        assert debian.image.name == f"vmlinuz-{debian.release}"
        assert debian.modules
        assert debian.modules.name == debian.release
        assert debian.config
        assert "CONFIG_X86_64=y" in debian.config.read_text()
        assert len(debian.sha256) == len(debian.config_sha256) == 64
        assert debian.image.stat().st_size == debian.size
        # Debian's table of symbols is a note that it is elsewhere
        assert debian.symbols is None
        assert (debian.image.parent / f"System.map-{debian.release}").exists()

    @pytest.mark.parametrize("package", ["linux-image-cloud-{arch}", "linux-image-{release}"])
    def test_package_of_an_entry(self, debian: Kernel, folder: Path, tmp_path: Path, package: str) -> None:
        # the tree that is here is the one that the package names: nothing is downloaded
        shutil.copytree(folder, tmp_path / "out", copy_function=os.link)
        name = package.replace("{release}", str(debian.release))
        told: list[str] = []
        kernel = DebianPackage(package=name).provide(asked(), tmp_path / "out", told.append)
        assert kernel.sha256 == debian.sha256
        assert told == [f"{debian.image.parent.parent.name} is already here"]
        assert DebianPackage(package=name).describe(asked()) != DebianPackage(package="x").describe(asked())

    @needs_apt
    def test_package_without_a_kernel(self, tmp_path: Path) -> None:
        with pytest.raises(FetchError, match="package hostname holds no kernel; kernel=host or kernel=PATH"):
            DebianPackage(package="hostname").provide(asked(), tmp_path, silent)
        assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []

    def test_only_what_is_needed_is_kept(self, debian: Kernel, folder: Path) -> None:
        tree = debian.image.parent.parent
        assert {path.name for path in tree.iterdir()} == {"boot", "lib", "package.json"}
        assert [path.name for path in folder.iterdir() if not path.name.startswith(".lock")] == [tree.name]

    def test_second_time_downloads_nothing(self, debian: Kernel, folder: Path) -> None:
        told: list[str] = []
        before = debian.image.stat()
        assert DebianPackage().provide(asked(), folder, told.append) == debian
        assert told == [f"{debian.image.parent.parent.name} is already here"]
        assert debian.image.stat().st_ino == before.st_ino

    def test_damaged_tree_is_made_again_and_leftovers_go(self, debian: Kernel, tmp_path: Path) -> None:
        tree = tmp_path / debian.image.parent.parent.name
        shutil.copytree(debian.image.parent.parent, tree, copy_function=os.link)
        next(tree.rglob("virtio_net.ko*")).unlink()
        (tmp_path / ".unpacking-killed").mkdir()
        again = DebianPackage().provide(asked(), tmp_path, silent)
        assert again.sha256 == debian.sha256
        assert list(tree.rglob("virtio_net.ko*"))
        assert {path.name for path in tmp_path.iterdir()} == {".lock", tree.name}

    def test_stale_when_lists_change(self, tmp_path: Path) -> None:
        lists = tmp_path / "lists"
        lists.mkdir()
        before = DebianPackage(lists).describe(asked())
        assert before == DebianPackage(lists).describe(asked())
        os.utime(lists, ns=(1, 1))
        assert before != DebianPackage(lists).describe(asked())
        assert before != DebianPackage(lists).describe(asked(arch="arm64"))

    def test_every_truncation_of_the_real_image_is_refused(self, debian: Kernel) -> None:
        data = debian.image.read_bytes()
        chosen = random.Random(1)  # noqa: S311 nothing secret
        for length in [len(data) - 1, 0x300, *(chosen.randrange(len(data)) for _ in range(100))]:
            with pytest.raises(KernelImageError):
                parse(data[:length])

    def test_no_apt(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ToolMissing) as caught:
            DebianPackage().provide(asked(), tmp_path / "out", silent)
        assert (
            str(caught.value) == "kernel=debian needs apt-get, which is not there; kernel=host or kernel=PATH"
        )
        assert not (tmp_path / "out").exists()

    @needs_apt
    def test_no_network(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        apt_archive.no_network(tmp_path, monkeypatch)
        out = tmp_path / "out"
        with pytest.raises(FetchError) as caught:
            DebianPackage(tmp_path / "no-lists").provide(asked(), out, silent)
        assert "linux-image-cloud-amd64 cannot be fetched: " in caught.value.problem
        assert "127.0.0.1" in caught.value.problem
        assert caught.value.remedy == "kernel=host or kernel=PATH"
        assert "\n" not in str(caught.value)
        assert {path.name for path in out.iterdir()} <= {".lock", ".apt-amd64"}

    @needs_apt
    def test_no_room(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # stands for a full disk: no package leaves this much room
        monkeypatch.setattr("sistasks.kernels.package._ROOM_FACTOR", 1 << 40)
        with pytest.raises(SistasksError, match=r"has \d+ MiB free, the package needs \d+; make room"):
            DebianPackage().provide(asked(), tmp_path, silent)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]

    @needs_apt
    def test_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(SistasksError, match=r"cannot be kept in .*file/below: Not a directory"):
            DebianPackage().provide(asked(), tmp_path / "file" / "below", silent)

    @needs_apt
    @pytest.mark.guest
    def test_other_architecture_leaves_the_system_alone(self, tmp_path: Path) -> None:
        lists = Path("/var/lib/apt/lists")
        before = sorted(lists.iterdir()) if lists.exists() else []
        settings = asked(arch="arm64")
        kernel = DebianPackage().provide(settings, tmp_path, silent)
        assert (kernel.arch, kernel.format) == ("arm64", "Image")
        assert kernel.release
        assert kernel.modules
        assert closure(kernel.modules, ["virtio_net"]).files
        assert (sorted(lists.iterdir()) if lists.exists() else []) == before
        told: list[str] = []
        assert DebianPackage().provide(settings, tmp_path, told.append) == kernel
        assert len(told) == 1  # the private lists are asked, not the mirror

    @needs_apt
    @pytest.mark.guest
    def test_missing_lists_are_fetched_apart(self, tmp_path: Path, debian: Kernel) -> None:
        kernel = DebianPackage(tmp_path / "no-lists").provide(asked(), tmp_path / "out", silent)
        assert kernel.sha256 == debian.sha256


class TestModules:
    def test_what_a_guest_needs_of_the_real_package(self, debian: Kernel) -> None:
        assert debian.modules
        found = closure(debian.modules, ["virtio_console", "virtio_pci", "virtio_net", "8250", "no_such"])
        order = [path.name for path in found.files]
        assert found.missing == ("no_such",)
        assert len(order) == len(set(order))
        assert "8250.ko" not in order
        for before, after in (
            ("virtio_ring.ko", "virtio_console.ko"),
            ("virtio_pci_modern_dev.ko", "virtio_pci.ko"),
            ("net_failover.ko", "virtio_net.ko"),
        ):
            assert order.index(before) < order.index(after)


class TestFile:
    def test_alone(self, boot: Path, debian: Kernel) -> None:
        image = boot / "boot" / debian.image.name
        told: list[str] = []
        kernel = provider(asked(kernel=str(image))).provide(asked(), boot, told.append)
        assert (kernel.name, kernel.sha256, kernel.provider) == (image.name, debian.sha256, "file")
        assert (kernel.modules, kernel.config, kernel.symbols) == (None, None, None)
        assert told == [f"reading {image}"]

    def test_what_is_beside_it_is_found(self, boot: Path, debian: Kernel) -> None:
        release = debian.release
        assert release
        for part in (boot / "lib/modules" / release, boot / "boot/lib/modules" / release):
            part.mkdir(parents=True)
        (boot / "boot" / f"config-{release}").write_text("CONFIG_X=y\n")
        (boot / "boot" / f"System.map-{release}").write_text("ffffffff81000000 T _text\n" * 1000)
        kernel = ImageFile(boot / "boot" / debian.image.name).provide(asked(), boot, silent)
        assert kernel.modules == boot / "lib/modules" / release
        assert kernel.config == boot / "boot" / f"config-{release}"
        assert kernel.symbols == boot / "boot" / f"System.map-{release}"
        (boot / "lib/modules" / release).rmdir()
        kernel = ImageFile(boot / "boot" / debian.image.name).provide(asked(), boot, silent)
        assert kernel.modules == boot / "boot/lib/modules" / release

    @pytest.mark.parametrize(
        ("file", "name"), [("vmlinuz-6.1.0-3", "vmlinuz-6.1.0-3"), ("bzImage", "bzImage"), ("sis.img", "sis")]
    )
    def test_name(self, boot: Path, debian: Kernel, file: str, name: str) -> None:
        (boot / "boot" / debian.image.name).rename(boot / file)
        assert ImageFile(boot / file).provide(asked(), boot, silent).name == name

    def test_other_architecture(self, debian: Kernel, tmp_path: Path) -> None:
        with pytest.raises(KernelImageError) as caught:
            ImageFile(debian.image).provide(asked(arch="arm64"), tmp_path, silent)
        assert str(caught.value) == f"{debian.image} is for x86_64, but arch=arm64 was asked; arch=x86_64"

    def test_release_cannot_lead_out_of_the_folder(self, boot: Path, debian: Kernel) -> None:
        path = boot / "boot" / debian.image.name
        data = bytearray(path.read_bytes())
        start = int.from_bytes(data[0x20E:0x210], "little") + 0x200
        (boot / "lib/modules").mkdir(parents=True)
        for release in (b"..", b"../modules", b"/etc"):
            data[start : start + 20] = release + b" " * (20 - len(release))
            path.write_bytes(data)
            assert inspect(path).release == release.decode()
            assert ImageFile(path).provide(asked(), boot, silent).modules is None

    def test_stale_when_the_file_changes(self, tmp_path: Path) -> None:
        path = tmp_path / "bzImage"
        missing = ImageFile(path).describe(asked())
        path.write_bytes(b"1")
        first = ImageFile(path).describe(asked())
        path.write_bytes(b"22")
        assert len({str(state) for state in (missing, first, ImageFile(path).describe(asked()))}) == 3


class TestHost:
    def test_no_image(self, tmp_path: Path) -> None:
        with pytest.raises(KernelImageError) as caught:
            Host(tmp_path, "6.9").provide(asked(), tmp_path, silent)
        assert str(caught.value) == (
            f"the running kernel 6.9 has no image: no {tmp_path}/boot/vmlinuz-6.9, "
            f"no {tmp_path}/lib/modules/6.9/vmlinuz; kernel=debian or kernel=PATH"
        )

    def test_this_machine_has_one_or_says_so(self, tmp_path: Path) -> None:
        release = os.uname().release
        try:
            kernel = Host().provide(resolve({}, environ={}, pyproject=tmp_path / "none"), tmp_path, print)
        except KernelImageError as error:
            said = str(error)
        else:
            said = str(kernel.release)
        assert release in said

    @pytest.mark.parametrize("place", ["boot/vmlinuz-{}", "lib/modules/{}/vmlinuz"])
    def test_both_places(self, tmp_path: Path, debian: Kernel, place: str) -> None:
        assert debian.release
        image = tmp_path / place.format(debian.release)
        (tmp_path / "lib/modules" / debian.release).mkdir(parents=True)
        image.parent.mkdir(parents=True, exist_ok=True)
        host = Host(tmp_path, debian.release)
        missing = host.describe(asked())
        shutil.copy(debian.image, image)
        assert host.describe(asked()) != missing
        kernel = host.provide(asked(), tmp_path, silent)
        assert (kernel.name, kernel.image, kernel.sha256) == ("host", image, debian.sha256)
        assert kernel.modules == tmp_path / "lib/modules" / debian.release
