from __future__ import annotations

import gzip
import lzma
import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernel_image import arm64_image
from test_kernel_payload import bzimage

from sistasks.errors import KernelImageError
from sistasks.kernels import Kernel
from sistasks.suites.security import image, static, vmlinux
from sistasks.suites.security.rules import load

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.suites.recipe import Recipe

A, AX, WA, WAX = 2, 6, 3, 7
SIGNED = b"~Module signature appended~\n"
EXPORTS = b"\0printk\0__stack_chk_fail\0fortify_panic\0__x86_indirect_thunk_rax\0"
GNU = struct.pack("<III", 4, 20, 3) + b"GNU\0" + bytes(range(20))
# of another owner, which numbers its kinds itself
XEN = struct.pack("<III", 4, 8, 3) + b"Xen\0" + bytes(8)


def elf(sections: dict[str, tuple[int, bytes]], segments: tuple[int, ...] = (5, 6, 7)) -> bytes:
    """An x86_64 kernel with these sections (flags, content); `.notes`, `.symtab` and `.strtab` are of their kinds."""
    kinds = {".notes": 7, ".symtab": 2, ".strtab": 3, ".shstrtab": 3}
    names = ["", *sections, ".shstrtab"]
    words = b"\0".join(name.encode() for name in names) + b"\0"
    contents = {**sections, ".shstrtab": (0, words)}
    at = 64 + 56 * len(segments)
    body, headers = b"", [bytes(64)]
    for name, (flags, data) in contents.items():
        link = names.index(".strtab") if name == ".symtab" else 0
        place, kind = words.index(name.encode() + b"\0"), kinds.get(name, 1)
        size = 24 if name == ".symtab" else 0
        where = (0, at + len(body), len(data), link, 0, 4, size)
        headers.append(struct.pack("<IIQQQQIIQQ", place, kind, flags, *where))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, 0, 64, at + len(body), 0, 64, 56, len(segments), 64,
        len(headers), len(headers) - 1,
    )  # fmt: skip
    loads = b"".join(struct.pack("<IIQQQQQQ", 1, flags, 0, 0, 0, 0, 0, 4096) for flags in segments)
    return head + loads + body + b"".join(headers)


KERNEL = {
    ".text": (AX, b"code"), ".rodata": (WA, EXPORTS), ".notes": (A, XEN + GNU), ".data": (WA, b"data"),
    ".retpoline_sites": (A, bytes(40)), ".return_sites": (A, bytes(80)),
}  # fmt: skip
SYMBOLS = {".symtab": (0, bytes(24)), ".strtab": (0, b"\0__stack_chk_fail\0__cfi_start\0")}


def kernel(
    folder: Path, data: bytes, arch: str = "x86_64", form: str = "bzImage", **more: Path | None
) -> Kernel:
    (folder / "vmlinuz").write_bytes(data)
    return Kernel(
        name="x", arch=arch, image=folder / "vmlinuz", sha256="0", release="6.1.1", format=form, size=len(data),
        provider="file", modules=more.get("modules"), symbols=more.get("symbols"), config=more.get("config"),
    )  # fmt: skip


def seen(
    folder: Path,
    body: bytes,
    config: dict[str, str] | None = None,
    arch: str = "x86_64",
    modules: Path | None = None,
    symbols: Path | None = None,
) -> dict[str, tuple[str, str]]:
    told = image.assess(kernel(folder, b"", arch, modules=modules, symbols=symbols), b"", body, config)
    assert len({one.rule for one in told}) == len(told)
    return {one.rule.removeprefix("image."): (one.outcome, one.evidence) for one in told}


class TestWhatIsInTheKernel:
    def test_traces_are_named(self, tmp_path: Path) -> None:
        told = seen(tmp_path, elf(KERNEL))
        assert told["readable"][0] == "pass"
        assert told["stack_protector"] == ("pass", "__stack_chk_fail is among the names in the image")
        assert told["fortify"] == ("pass", "fortify_panic is among the names in the image")
        assert told["retpolines"] == ("pass", "the image has a section .retpoline_sites of 40 bytes")
        assert told["return_thunks"] == ("pass", "the image has a section .return_sites of 80 bytes")
        assert told["build_id"] == ("pass", bytes(range(20)).hex())
        assert told["w_xor_x"] == ("pass", "none of 6 sections; segments RE RW RWE are for loading only")
        assert told["stripped"] == ("pass", "it has neither symbols nor debugging information")

    def test_older_retpolines_have_names_only(self, tmp_path: Path) -> None:
        old = {name: what for name, what in KERNEL.items() if not name.endswith("_sites")}
        assert seen(tmp_path, elf(old))["retpolines"] == (
            "pass", "__x86_indirect_thunk_rax is among the names in the image",
        )  # fmt: skip

    def test_what_leaves_no_trace_is_asked_of_the_configuration(self, tmp_path: Path) -> None:
        bare = elf({".text": (AX, b"code")})
        traced = ("stack_protector", "fortify", "retpolines", "return_thunks", "indirect_calls")
        told = seen(tmp_path, bare)
        assert {told[rule] for rule in traced} == {
            ("skip", "the image shows no trace of it, and there is no configuration to tell")
        }
        told = seen(tmp_path, bare, {"STACKPROTECTOR": "y", "RETPOLINE": "n", "FORTIFY_SOURCE": "m"})
        assert told["stack_protector"] == (
            "pass", "the image shows no trace of it; its configuration has CONFIG_STACKPROTECTOR=y",
        )  # fmt: skip
        assert told["retpolines"] == (
            "fail",
            "the image shows no trace of it; its configuration does not set "
            "CONFIG_RETPOLINE, CONFIG_MITIGATION_RETPOLINE",
        )
        assert told["fortify"][0] == "fail"

    def test_a_whole_list_of_symbols_is_a_proof(self, tmp_path: Path) -> None:
        told = seen(tmp_path, elf({".text": (AX, b"code"), **SYMBOLS}), {"FORTIFY_SOURCE": "y"})
        assert told["stack_protector"] == ("pass", "__stack_chk_fail is among its table of symbols")
        assert told["fortify"] == (
            "fail",
            "no fortify_panic or __fortify_panic is among its table of symbols",
        )
        assert told["indirect_calls"] == ("pass", "__cfi_start is among its table of symbols")
        assert told["stripped"] == ("fail", "it has symbols")

    def test_system_map_is_one(self, tmp_path: Path) -> None:
        path = tmp_path / "System.map-6.1.1"
        path.write_text("".join(f"ffffffff81000000 T function{number}\n" for number in range(200)))
        told = seen(tmp_path, elf(KERNEL), symbols=path)
        assert told["stack_protector"] == ("fail", "no __stack_chk_fail is among System.map-6.1.1")
        # a section says more than a name
        assert told["retpolines"][0] == "pass"
        path.write_text(path.read_text() + "ffffffff81000000 T __stack_chk_fail\n")
        assert seen(tmp_path, elf(KERNEL), symbols=path)["stack_protector"][0] == "pass"

    def test_a_name_within_another_is_none(self, tmp_path: Path) -> None:
        body = elf({".rodata": (A, b"\0my__stack_chk_fail\0__stack_chk_fail_not\0__cfi_\0")})
        assert seen(tmp_path, body)["stack_protector"][0] == "skip"
        assert seen(tmp_path, body)["indirect_calls"][0] == "skip"

    def test_writable_code_is_named(self, tmp_path: Path) -> None:
        told = seen(
            tmp_path, elf({**KERNEL, ".bad": (WAX, b"x"), ".empty": (WAX, b""), ".left_out": (5, b"x")})
        )
        assert told["w_xor_x"] == ("fail", "writable and executable: .bad")

    def test_debugging_information(self, tmp_path: Path) -> None:
        told = seen(tmp_path, elf({**KERNEL, ".debug_info": (0, b"x"), **SYMBOLS}))
        assert told["stripped"] == ("fail", "it has symbols and debugging information")

    def test_only_the_kernels_own_build_id(self, tmp_path: Path) -> None:
        assert seen(tmp_path, elf({".notes": (A, XEN)}))["build_id"] == ("fail", "its notes have none")

    def test_relocations_lie_behind(self, tmp_path: Path) -> None:
        body = elf(KERNEL)
        assert seen(tmp_path, body + bytes(400))["relocatable"] == (
            "pass", "400 bytes of relocations lie behind the kernel",
        )  # fmt: skip
        # whatever the configuration says
        assert seen(tmp_path, body, {"RANDOMIZE_BASE": "y"})["relocatable"][0] == "fail"

    def test_a_flat_image_shows_less(self, tmp_path: Path) -> None:
        told = seen(tmp_path, b"MZ flat " + EXPORTS, {"RANDOMIZE_BASE": "y"}, "arm64")
        assert told["stack_protector"][0] == "pass"
        assert told["w_xor_x"] == told["stripped"] == told["build_id"] == (
            "skip", "the kernel in bzImage is no ELF file",
        )  # fmt: skip
        assert told["relocatable"] == (
            "pass",
            "the bzImage does not show it; its configuration has CONFIG_RANDOMIZE_BASE=y",
        )
        assert "retpolines" not in told


@pytest.mark.parametrize("arch", ["x86_64", "arm64", "arm", "riscv64"])
def test_each_rule_is_told_of_and_each_that_is_told_of_is_one(tmp_path: Path, arch: str) -> None:
    only = {
        "retpolines": {"x86_64"}, "return_thunks": {"x86_64"}, "indirect_calls": {"x86_64", "arm64"},
        "relocatable": {"x86_64", "arm64", "riscv64"},
    }  # fmt: skip
    rules = {name.removeprefix("image.") for name in load("image")}
    expected = {name for name in rules if arch in only.get(name, {arch})}
    assert set(seen(tmp_path, elf(KERNEL), {}, arch)) == expected
    assert set(seen(tmp_path, b"", None, arch)) == expected


class TestTheHeaderForEfi:
    def told(self, folder: Path, data: bytes) -> dict[str, tuple[str, str]]:
        made = kernel(folder, data, "arm64", "Image")
        found = image.assess(made, data, b"", None)
        return {one.rule.removeprefix("image."): (one.outcome, one.evidence) for one in found}

    def test_signed_or_not(self, tmp_path: Path) -> None:
        told = self.told(tmp_path, arm64_image(signature=777))
        assert told["signed"] == ("pass", "a signature of 777 bytes, which is not verified")
        assert self.told(tmp_path, arm64_image())["signed"] == ("fail", "no signature")

    def test_flags(self, tmp_path: Path) -> None:
        data = bytearray(arm64_image())
        start = struct.unpack_from("<I", data, 0x3C)[0]
        sections = start + 24 + struct.unpack_from("<H", data, start + 20)[0]
        data[sections : sections + 5] = b".text"
        struct.pack_into("<I", data, sections + 36, 0x60000020)
        told = self.told(tmp_path, bytes(data))
        assert told["efi_w_xor_x"][0] == "pass"
        assert told["efi_nx"] == ("fail", "NX_COMPAT is not set")
        struct.pack_into("<I", data, sections + 36, 0xC0000040)
        assert self.told(tmp_path, bytes(data))["efi_w_xor_x"][0] == "pass"
        struct.pack_into("<I", data, sections + 36, 0xE0000020)
        struct.pack_into("<H", data, start + 24 + 70, 0x100)
        told = self.told(tmp_path, bytes(data))
        assert told["efi_w_xor_x"] == ("fail", "writable and executable: .text")
        assert told["efi_nx"] == ("pass", "NX_COMPAT is set")

    def test_without_one(self, tmp_path: Path) -> None:
        for data in (b"", b"MZ", arm64_image(efi=False)):
            told = self.told(tmp_path, data)
            assert (
                told["signed"]
                == told["efi_nx"]
                == told["efi_w_xor_x"]
                == ("skip", "the image has no header for EFI")
            )

    @settings(deadline=None)
    @given(st.binary(min_size=1, max_size=30), st.integers(0, 0x200), st.integers(0, 0x2400))
    def test_whatever_comes_is_told_of(self, noise: bytes, at: int, cut: int) -> None:
        data = bytearray(arm64_image(signature=777))
        data[at : at + len(noise)] = noise
        told = image._efi(bytes(data[: max(1, len(data) - cut)]))
        assert {one.rule for one in told} == {"image.signed", "image.efi_nx", "image.efi_w_xor_x"}


class TestModules:
    def told(self, tmp_path: Path) -> tuple[str, str]:
        return seen(tmp_path, b"", modules=tmp_path / "modules")["modules_signed"]

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "modules/kernel").mkdir(parents=True)
        return tmp_path / "modules/kernel"

    def test_none(self, tmp_path: Path) -> None:
        assert self.told(tmp_path) == ("skip", "no modules are kept with the kernel")
        assert seen(tmp_path, b"")["modules_signed"][0] == "skip"

    def test_signed_in_whatever_form(self, tmp_path: Path, folder: Path) -> None:
        module = b"\x7fELF code" + SIGNED
        (folder / "a.ko").write_bytes(module)
        (folder / "b.ko.gz").write_bytes(gzip.compress(module))
        (folder / "c.ko.xz").write_bytes(lzma.compress(module))
        assert self.told(tmp_path) == (
            "pass", "3 of 3 were looked at, and all have a signature, which is not verified",
        )  # fmt: skip

    @pytest.mark.parametrize("name", ["a.ko", "a.ko.xz"])
    def test_one_without(self, tmp_path: Path, folder: Path, name: str) -> None:
        (folder / "b.ko").write_bytes(SIGNED)
        bare = SIGNED + b"\0"
        (folder / name).write_bytes(lzma.compress(bare) if name.endswith("xz") else bare)
        assert self.told(tmp_path) == ("fail", f"2 of 2 were looked at, and 1 have no signature: {name}, ...")

    def test_of_many_packed_ones_a_sample(self, tmp_path: Path, folder: Path) -> None:
        packed = gzip.compress(SIGNED)
        for number in range(150):
            (folder / f"m{number}.ko.gz").write_bytes(packed)
        assert self.told(tmp_path)[1].startswith("50 of 150 were looked at")

    def test_a_damaged_one(self, tmp_path: Path, folder: Path) -> None:
        (folder / "a.ko.xz").write_bytes(b"no xz")
        assert self.told(tmp_path)[0] == "error"


def test_headers_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    told = seen(tmp_path, elf(KERNEL)[:200])
    assert told["readable"] == ("error", "the ELF headers of the kernel in the image cannot be read")
    assert told["w_xor_x"][0] == "skip"


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=16), st.integers(0, 1000), st.integers(0, 1000))
def test_any_elf_is_read_or_refused(noise: bytes, at: int, cut: int) -> None:
    data = bytearray(elf({**KERNEL, **SYMBOLS}))
    data[at : at + len(noise)] = noise
    body = bytes(data[: len(data) - cut])
    try:
        found = vmlinux.read(body)
    except KernelImageError:
        return
    assert vmlinux.names(body, found, None).find("nothing_is_called_so") == ""


class TestAll:
    def recipe(self, made: Kernel, advisories: str = "") -> Recipe:
        settings: Any = SimpleNamespace(advisories=advisories)
        return cast("Recipe", SimpleNamespace(kernel=made, settings=settings))

    def test_of_a_kernel(self, tmp_path: Path) -> None:
        (tmp_path / "config").write_text("CONFIG_RANDOMIZE_BASE=y\n")
        data = bzimage(gzip.compress(elf(KERNEL) + bytes(8)))
        told = static.assess(self.recipe(kernel(tmp_path, data, config=tmp_path / "config")))
        assert tuple(told) == static.TESTS
        outcomes = {one.rule: one.outcome for items in told.values() for one in items}
        assert outcomes["config.randomize_base"] == "pass"
        assert outcomes["image.relocatable"] == "pass"
        assert outcomes["vulnerability.advisories"] == "skip"

    def test_of_a_kernel_that_cannot_be_unpacked(self, tmp_path: Path) -> None:
        made = kernel(tmp_path, bzimage(b"nothing"))
        told = {one.rule: one for one in static.assess(self.recipe(made))["image"]}
        why = "vmlinuz cannot be unpacked: its compressed data starts with 6e 6f 74 68, which is no known format"
        assert (told["image.readable"].outcome, told["image.readable"].evidence) == ("error", why)
        assert told["image.w_xor_x"].evidence == why
        assert told["image.stack_protector"].evidence == f"{why}, and there is no configuration to tell"

    def test_of_an_image_that_is_gone(self, tmp_path: Path) -> None:
        made = kernel(tmp_path, b"")
        made.image.unlink()
        told = {one.rule: one.outcome for one in static.assess(self.recipe(made))["image"]}
        assert (told["image.readable"], told["image.signed"]) == ("error", "skip")

    def test_names_from_the_image_reach_no_terminal(self, tmp_path: Path) -> None:
        body = elf({".t\x1b[31m": (WAX, b"x")})
        told = {
            one.rule: one
            for one in static.assess(self.recipe(kernel(tmp_path, bzimage(gzip.compress(body)))))["image"]
        }
        assert told["image.w_xor_x"].evidence == "writable and executable: .t"
