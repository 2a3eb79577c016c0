from __future__ import annotations

import dataclasses
import hashlib
import io
import re
import tarfile
from typing import TYPE_CHECKING, Any, Literal

import pytest
from webserver import Server, answer, cut_off, serving

from sistasks import firmware_pinned
from sistasks.errors import FirmwareError
from sistasks.firmware import Firmware, find, has_uefi, verify
from sistasks.machine.arch import ARCHES, ARM64, X86_64
from sistasks.resources import data_file
from sistasks.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
from firmware_parts import AUTO, CODE, CODE_GUID, VARS, nowhere, refusal, volume


def archive_of(members: dict[str, bytes | tarfile.TarInfo], mode: Literal["w:xz", "w:gz"] = "w:xz") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


GOOD = archive_of({"v1-bin/x64/code.fd": CODE, "v1-bin/x64/shell.efi": b"MZ", "v1-bin/x64/vars.fd": VARS})


@dataclasses.dataclass
class Pinned:
    """A server with an archive, a manifest that pins it, and a folder for what is fetched."""

    server: Server
    tmp_path: Path
    extra: str = ""
    max_size: int = 1 << 20
    max_image: int = 1 << 20

    @property
    def folder(self) -> Path:
        return self.tmp_path / "firmware"

    def find(self, sha256: str = "", **changed: Any) -> Firmware:
        manifest = self.tmp_path / "manifest.toml"
        manifest.write_text(f"""
            [[archive]]
            version = "v1"
            mirror = "http://nowhere.invalid"
            url = "{{mirror}}/{{version}}/{{version}}-bin.tar.xz"
            sha256 = "{sha256 or hashlib.sha256(self.server.body).hexdigest()}"
            max_size = {self.max_size}
            max_image = {self.max_image}
            [archive.images.x86_64]
            code = "x64/code.fd"
            vars = "x64/vars.fd"
            {self.extra}
        """)
        mirror = self.server.url.removesuffix("/file") + "/mirror/"
        places = nowhere(self.tmp_path, manifest=manifest)
        return find(X86_64, Settings(firmware_mirror=mirror, **changed), self.folder, places=places)

    def refusal(self, **keywords: Any) -> str:
        with pytest.raises(FirmwareError) as caught:
            self.find(**keywords)
        assert caught.value.remedy
        return caught.value.problem

    def files(self) -> list[str]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.folder)) for path in found)


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pinned]:
    with serving(Server(GOOD), monkeypatch) as server:
        yield Pinned(server, tmp_path)


def test_fetched_unpacked_and_locked(pinned: Pinned) -> None:
    one = pinned.find()
    assert (one.code.read_bytes(), one.vars.read_bytes(), one.source) == (CODE, VARS, "fetched")
    assert one.code.stat().st_mode & 0o777 == 0o644
    assert pinned.server.requests == [("/mirror/v1/v1-bin.tar.xz", "")]
    assert pinned.files() == [
        "v1-bin.tar.xz", "v1/x86_64/code.fd", "v1/x86_64/lock.json", "v1/x86_64/vars.fd",
    ]  # fmt: skip
    verify(one)


def test_what_verifies_is_used_without_network_or_archive(pinned: Pinned) -> None:
    one = pinned.find()
    (pinned.folder / "v1-bin.tar.xz").unlink()
    assert pinned.find() == one
    assert len(pinned.server.requests) == 1


@pytest.mark.parametrize("name", ["code.fd", "vars.fd", "lock.json"])
@pytest.mark.parametrize("damage", [b"", b"x", None])
def test_what_does_not_verify_is_unpacked_again(pinned: Pinned, name: str, damage: bytes | None) -> None:
    one = pinned.find()
    path = one.code.with_name(name)
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert pinned.find() == one
    verify(one)
    assert len(pinned.server.requests) == 1


def test_a_forged_lock_does_not_help_against_a_pinned_image(pinned: Pinned) -> None:
    pinned.extra = f'code_sha256 = "{hashlib.sha256(CODE).hexdigest()}"'
    one = pinned.find()
    other = volume(CODE_GUID, filling=b"!")
    one.code.write_bytes(other)
    lock = one.code.with_name("lock.json")
    lock.write_text(lock.read_text().replace(one.code_sha256, hashlib.sha256(other).hexdigest()))
    assert pinned.find() == one
    assert one.code.read_bytes() == CODE


def test_another_archive_is_fetched_anew(pinned: Pinned) -> None:
    pinned.find()
    other = volume(CODE_GUID, filling=b"!")
    pinned.server.body = archive_of({"v1-bin/x64/code.fd": other, "v1-bin/x64/vars.fd": VARS})
    assert pinned.find().code.read_bytes() == other


def test_wrong_hash_of_the_archive(pinned: Pinned) -> None:
    assert "has sha256" in pinned.refusal(sha256="0" * 64)
    assert pinned.files() == []


@pytest.mark.parametrize("which", ["code", "vars"])
def test_wrong_hash_of_an_image(pinned: Pinned, which: str) -> None:
    pinned.extra = f'{which}_sha256 = "{"0" * 64}"'
    problem = pinned.refusal()
    assert f"x64/{which}.fd in v1 has sha256" in problem
    assert "expected 000000000000" in problem
    assert f"v1/x86_64/{which}.fd" not in pinned.files()
    assert "v1/x86_64/lock.json" not in pinned.files()


def test_the_right_hash_of_the_images(pinned: Pinned) -> None:
    code, variables = (hashlib.sha256(image).hexdigest() for image in (CODE, VARS))
    pinned.extra = f'code_sha256 = "{code}"\nvars_sha256 = "{variables}"'
    assert (pinned.find().code_sha256, pinned.find().vars_sha256) == (code, variables)


def test_404_says_what_is_missing_and_what_helps(pinned: Pinned) -> None:
    pinned.server.faults = [answer(404)]
    problem = pinned.refusal()
    assert "no UEFI firmware for x86_64 is installed" in problem
    assert "/mirror/v1/v1-bin.tar.xz answered 404" in problem
    assert pinned.files() == []


def test_cut_off_is_resumed_by_the_next_try(pinned: Pinned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sistasks.fetch.time.sleep", lambda _: None)
    pinned.server.faults = [cut_off(100)] * 2
    assert pinned.find().code.read_bytes() == CODE
    assert [asked for _, asked in pinned.server.requests] == ["", "bytes=100-", "bytes=200-"]


def test_an_archive_that_is_too_large(pinned: Pinned) -> None:
    pinned.max_size = len(GOOD) - 1
    assert f"at most {len(GOOD) - 1} bytes" in pinned.refusal()
    assert pinned.files() == []


def test_an_image_that_is_too_large(pinned: Pinned) -> None:
    pinned.max_image = len(CODE) - 1
    assert f"x64/code.fd in v1 is no file of at most {len(CODE) - 1} bytes" in pinned.refusal()
    assert pinned.files() == ["v1-bin.tar.xz"]


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_only_files_are_unpacked(pinned: Pinned, kind: bytes) -> None:
    pinned.server.body = archive_of({"": link("v1-bin/x64/code.fd", kind), "v1-bin/x64/vars.fd": VARS})
    assert "x64/code.fd in v1 is no file" in pinned.refusal()
    assert not (pinned.folder / "v1/x86_64/code.fd").exists()


def test_nothing_else_is_unpacked(pinned: Pinned) -> None:
    members: dict[str, bytes | tarfile.TarInfo] = {
        "../evil": b"x", "/tmp/evil": b"x", "v1-bin/../../evil": b"x",  # noqa: S108 -- a name in an archive
        "v1-bin/x64/code.fd": CODE, "v1-bin/x64/vars.fd": VARS,
    }  # fmt: skip
    pinned.server.body = archive_of(members)
    pinned.find()
    assert not list(pinned.tmp_path.rglob("*evil*"))
    assert len(pinned.files()) == 4


def test_an_image_that_the_archive_does_not_have(pinned: Pinned) -> None:
    pinned.server.body = archive_of({"v1-bin/x64/code.fd": CODE})
    assert "has no x64/vars.fd" in pinned.refusal()


@pytest.mark.parametrize("body", [b"no archive", GOOD[:-100], archive_of({}, "w:gz")[:20], b""])
def test_a_pinned_archive_that_is_none(pinned: Pinned, body: bytes) -> None:
    pinned.server.body = body
    pinned.refusal()
    assert "v1/x86_64/lock.json" not in pinned.files()


def test_a_pinned_image_that_is_no_firmware(pinned: Pinned) -> None:
    pinned.server.body = archive_of({"v1-bin/x64/code.fd": bytes(4096), "v1-bin/x64/vars.fd": VARS})
    assert "code.fd is no UEFI firmware" in pinned.refusal()


def test_a_folder_that_cannot_be_written(pinned: Pinned) -> None:
    (pinned.folder / "v1").mkdir(parents=True)
    (pinned.folder / "v1" / "x86_64").write_bytes(b"")
    assert "cannot be unpacked at" in pinned.refusal()


def test_a_mirror_that_is_no_address(pinned: Pinned) -> None:
    pinned.server.url = "file:///srv"
    assert "only http:// and https://" not in pinned.refusal()
    assert "file:///srv/mirror/v1/v1-bin.tar.xz cannot be fetched" in pinned.refusal()


def test_the_committed_manifest() -> None:
    archives = firmware_pinned.read_manifest(data_file("firmware/manifest.toml"))
    assert archives
    for archive in archives:
        assert re.fullmatch(r"[0-9a-f]{64}", archive.sha256)
        assert re.fullmatch(r"https://[^{}]+\.tar\.xz", archive.address())
        assert archive.address("http://m/x/").startswith(f"http://m/x/{archive.version}/")
        for pair in archive.images.values():
            for image in pair:
                assert re.fullmatch(r"([0-9a-f]{64})?", image.sha256)
        assert set(archive.images) <= set(ARCHES)
    for arch in ARCHES.values():
        if has_uefi(arch):
            assert any(arch.name in archive.images for archive in archives)


def test_an_architecture_that_no_archive_has(pinned: Pinned) -> None:
    pinned.find()
    places = nowhere(pinned.tmp_path, manifest=pinned.tmp_path / "manifest.toml")
    assert "manifest.toml has none" in refusal(ARM64, AUTO, pinned.folder, places=places)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('version = "edk2-stable202605-r1"', 'version = "../x"', "version"),
        ('version = "edk2-stable202605-r1"', "", "version is missing"),
        ('sha256 = "8ae4', 'sha256 = "8AE4', "sha256"),
        ('sha256 = "8ae4', 'sha256 = "', "sha256"),
        ("max_size = 33_554_432", "max_size = 0", "max_size"),
        ("max_size = 33_554_432", 'max_size = "much"', "max_size"),
        ("max_size = 33_554_432", "max_sise = 1\nmax_size = 1", "max_sise"),
        ("-bin.tar.xz", "/", "url"),
        ('code = "x64/code.fd"', "", "code is missing"),
        ('code = "x64/code.fd"', "code = 3", "images.x86_64.code"),
        ('code = "x64/code.fd"', 'code = "x"\ncode_sha256 = "y"', "images.x86_64.code_sha256"),
        ('code = "x64/code.fd"', 'code = "x"\nsha256 = "y"', "images.x86_64.sha256"),
        ("[archive.images.x86_64]", '[archive.images."../x"]', "images"),
        ("[[archive]]", "[[archives]]", "[[archive]]"),
        ("[[archive]]", "[nothing]\n[[nothing.else]]", "[[archive]]"),
        ("[[archive]]", "[[archive", "line"),
    ],
)
def test_a_manifest_that_cannot_be(tmp_path: Path, old: str, new: str, named: str) -> None:
    text = data_file("firmware/manifest.toml").read_text()
    assert old in text
    path = tmp_path / "manifest.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(FirmwareError, match=re.escape(f"{path} is no manifest of firmware")) as caught:
        firmware_pinned.read_manifest(path)
    assert named in caught.value.problem


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(FirmwareError, match="No such file"):
        firmware_pinned.read_manifest(tmp_path / "none.toml")
