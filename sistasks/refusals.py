"""What the host refuses (room, rights, limits), as one sentence; any other OSError would be a mistake of ours."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from sistasks.errors import SistasksError

if TYPE_CHECKING:
    from pathlib import Path

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# what a host may answer to a file that is in order otherwise
_HOST: Final = _NO_ROOM | {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN,
    errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG,
}  # fmt: skip


def refusal(error: OSError, output: Path) -> SistasksError | None:
    """The failure that a host's refusal is; None: it is a mistake of ours, which is to be seen as one.

    Args:
        error: what the system said.
        output: the output folder, named where the error names no file.
    """
    if error.errno not in _HOST:
        return None
    remedy = "make room there" if error.errno in _NO_ROOM else "allow it"
    where = error.filename or output
    return SistasksError(f"{where} cannot be used: {error.strerror}", f"{remedy}, or set output=")
