"""Which version of Linux a kernel is, and how versions are compared.

What `uname -r` prints does not tell that of a distribution's kernel: Debian's `6.1.0-56-cloud-amd64` may be 6.1.192.
Its banner does: `#1 SMP Debian 6.1.192-2 (2026-11-16)`, `(Ubuntu 5.15.0-91.101-generic 5.15.131)`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sistasks.kernels.payload import Buffer

_RELEASE: Final = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,6}))?", re.ASCII)
_DEBIAN: Final = re.compile(r"\bDebian (\d[\w.+~:-]*)", re.ASCII)
_UBUNTU: Final = re.compile(r"\(Ubuntu (\d[\d.]*-\d+(?:\.\d+)*)-[a-z][\w-]* (\d+\.\d+\.\d+)\)", re.ASCII)
_LONGEST: Final = 1000

Numbers = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Version:
    """A kernel's version.

    Attributes:
        numbers: of the upstream release that it is made from: (6, 1, 192).
        release: as `uname -r` prints it.
        distribution: `debian` or `ubuntu`, where its banner says so; else empty.
        package: the version of its package there.
        exact: False: a distribution's, which does not say which release of the series it is made from.
        candidate: it came before the release that it is named for (6.12.0-rc3).
    """

    numbers: Numbers
    release: str
    distribution: str = ""
    package: str = ""
    exact: bool = True
    candidate: bool = False

    def __str__(self) -> str:
        """The version, and who says so."""
        number = ".".join(map(str, self.numbers)) if self.exact else "{}.{}".format(*self.numbers)
        if self.distribution:
            return f"{number} ({self.distribution.capitalize()}'s package {self.package})"
        return f"{number} (release {self.release})" if number != self.release else number


def read(release: str | None, image: Buffer | None) -> Version | None:
    """The version of a kernel.

    Args:
        release: as `uname -r` prints it.
        image: bytes that may hold its banner, best those of the unpacked kernel.

    Returns:
        None where the release is none.
    """
    numbers = parse(release or "")
    if release is None or numbers is None:
        return None
    banner = _banner(release, image) if image is not None else ""
    found = _UBUNTU.search(banner)
    if found and (upstream := parse(found[2])) and upstream[:2] == numbers[:2]:
        return Version(upstream, release, "ubuntu", found[1])
    for package in _DEBIAN.findall(banner):
        # its compiler is Debian's, too
        if (upstream := parse(package)) and upstream[:2] == numbers[:2]:
            return Version(upstream, release, "debian", package)
    # 5.14.0-362.el9: the number behind the dash is the distribution's; 6.1.0-rc1 and 6.1.0-mine are what they say
    exact = not re.match(r"\d+\.\d+\.0-\d", release)
    candidate = re.match(r"[\d.]+-rc\d", release) is not None
    return Version(numbers, release, exact=exact, candidate=candidate)


def parse(text: str) -> Numbers | None:
    """The numbers that a release or a package's version begins with; `6.6` is 6.6.0; None: it begins otherwise."""
    found = _RELEASE.match(text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def _banner(release: str, image: Buffer) -> str:
    text = re.escape(release.encode()) + rb" \([^\n\0]{1,%d}" % _LONGEST
    return "\n".join(found[0].decode("ascii", "replace") for found in re.finditer(text, image))


def package_key(version: str) -> list[tuple[int, ...]]:
    """What orders versions of packages as dpkg does (Debian Policy, 5.6.12); they have no epoch, or the same."""
    upstream, _, revision = version.rpartition("-") if "-" in version else (version, "", "0")
    return [*_ordered(upstream), _END, *_ordered(revision), _END]


# in the place of further letters: before all of them, and behind `~`
_END: Final = (0,)


def _ordered(text: str) -> Iterator[tuple[int, ...]]:
    """Letters and numbers by turns, either perhaps empty."""
    for part in re.finditer(r"(\D*)(\d*)", text, re.ASCII):
        if part[0]:
            yield (*(_weight(sign) for sign in part[1]), *_END)
            yield (int(part[2] or 0),)


def _weight(sign: str) -> int:
    if sign == "~":
        return -1
    return ord(sign) if sign.isalpha() else ord(sign) + 256
