"""A tree that looks like Linux to whoever builds it: real make, real gcc, a second instead of minutes."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_kernel_image import bzimage

if TYPE_CHECKING:
    from pathlib import Path

MAKEFILE = """\
VERSION = 6
PATCHLEVEL = 9
KERNELRELEASE = 6.9.1-x86
objects := $(patsubst kernel/%.c,$(O)/kernel/%.o,$(wildcard kernel/*.c))

# ours are asked for on top of it; as in Linux, what is impossible goes without a word
tinyconfig:
	@echo CONFIG_TINY=y > $(O)/.config
olddefconfig:
	@sed -i -e '/^CONFIG_NO_SUCH=/d' -e 's/^CONFIG_LOST=y/# CONFIG_LOST is not set/' $(O)/.config
bzImage: $(O)/arch/x86/boot/bzImage
	@mkdir -p $(O)/include/config && echo $(KERNELRELEASE) > $(O)/include/config/kernel.release
modules: $(O)/driver.ko
modules_install:
	@mkdir -p $(INSTALL_MOD_PATH)/lib/modules/$(KERNELRELEASE)/kernel
	@cp $(O)/driver.ko $(INSTALL_MOD_PATH)/lib/modules/$(KERNELRELEASE)/kernel/
	@ln -s $(CURDIR) $(INSTALL_MOD_PATH)/lib/modules/$(KERNELRELEASE)/build

$(O)/kernel/%.o: kernel/%.c
	@mkdir -p $(@D)
	@echo '  CC      $<'
	@gcc -c -o $@ $<
$(O)/driver.ko: drivers/driver.c
	@gcc -c -o $@ $<
$(O)/arch/x86/boot/bzImage: arch/x86/head.bin $(objects)
	@mkdir -p $(@D)
	@echo '  LD      $@'
	@cat $^ > $@
	@echo built >> $(O)/links
"""
KCONFIG = """\
config TINY
	bool "tiny"

config LOST
	bool "what another forbids"
	depends on TINY
	depends on !SMP && \\
		BROKEN

config WANTED
	bool "what one may have"
"""


@dataclass(frozen=True)
class LinuxTree:
    """Such a tree in a folder."""

    path: Path

    @classmethod
    def make(cls, path: Path) -> LinuxTree:
        files: dict[str, str | bytes] = {
            "Makefile": MAKEFILE,
            "Kconfig": KCONFIG,
            "arch/x86/head.bin": bzimage(),
            "kernel/fork.c": "int fork_one(void) { return 1; }\n",
            "kernel/exit.c": "int exit_one(void) { return 2; }\n",
            "drivers/driver.c": "int driver(void) { return 3; }\n",
        }
        for name, content in files.items():
            target = path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return cls(path)

    def git(self, *words: str) -> str:
        """Git in the tree, as nobody in particular and without this machine's own settings."""
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
        }
        who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
        done = subprocess.run(
            ["git", "-C", str(self.path), *who, *words],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, note: str) -> str:
        """Everything that is there, as a commit; its name."""
        if not (self.path / ".git").exists():
            self.git("init", "-q")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", note)
        return self.git("rev-parse", "HEAD")

    def change(self, name: str, text: str) -> None:
        """Another text in a file, at a time that no file system mistakes for the one before."""
        path = self.path / name
        later = path.stat().st_mtime_ns + 10**9 if path.exists() else time.time_ns()
        path.write_text(text)
        os.utime(path, ns=(later, later))
