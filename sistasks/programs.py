"""Short-lived helper programs: run to their end or to a limit, and leave nothing behind.

Nodes are not run here: they live long and have an ordered shutdown of their own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sistasks.machine.confinement import Identity

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# pipes that a killed program handed to a daemon of another session never close
_DRAIN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended.

    Attributes:
        code: its exit code, or minus the number of the signal that ended it.
        out: standard output; empty where it went to a file.
        err: standard error; empty where it went to a file.
        expired: it was killed because its limit was over.
    """

    code: int
    out: bytes
    err: bytes
    expired: bool

    @property
    def ending(self) -> str:
        """The end in words: `ended with exit code 1`, `ended by SIGABRT`."""
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        try:
            return f"ended by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"ended by signal {-self.code}"

    def tail(self, lines: int = 8) -> str:
        """The last non-empty lines of standard error, else of standard output."""
        text = (self.err.strip() or self.out.strip()).decode(errors="replace")
        return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-lines:])


def start(
    command: Sequence[str | os.PathLike[str]],
    *,
    in_turn: bool = False,
    identity: Identity | None = None,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own that our end ends too, SIGKILL included.

    Interrupts wait meanwhile: one that arrives between fork and return would be swallowed by Python's own hooks, or
    leave a child that nobody knows.

    Args:
        command: the program and its arguments.
        in_turn: it waits for its turn when it is woken (Linux, SCHED_BATCH), instead of taking the processor from
            another that has one.
        identity: whom it runs as (Linux, for root); as we do if None.
        options: for `subprocess.Popen`.

    Raises:
        OSError: the program cannot be started, or not as that user.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    ask = _before_it_runs(before, in_turn=in_turn, identity=identity)
    if ask is not None:  # without it the child would keep the mask; and there are no hooks
        signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
    child: subprocess.Popen[bytes] | None = None
    try:
        child = subprocess.Popen(command, start_new_session=True, preexec_fn=ask, **options)  # noqa: PLW1509 - no locks
    except subprocess.SubprocessError as error:  # all that the hook may fail with is the change of user
        raise PermissionError(errno.EPERM, "another user's rights cannot be taken") from error
    finally:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)  # what has waited is raised here
        except BaseException:
            if child is not None:
                _kill(child, 0.0)
            raise
    return child


def _before_it_runs(
    mask: set[int | signal.Signals], *, in_turn: bool, identity: Identity | None
) -> Callable[[], None] | None:
    """What a child does before it becomes the program: it asks to end with us, and hears signals again."""
    if sys.platform != "linux":
        return None
    import ctypes

    # looked up before the fork: the child must not take the loader's locks
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask() -> None:
        if identity is not None:
            os.setgroups(identity.groups)
            os.setresgid(identity.group, identity.group, identity.group)
            os.setresuid(identity.user, identity.user, identity.user)
            prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # only now: the signal is forgotten when a process changes its user
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the signal was asked for
            os._exit(1)
        if in_turn:
            with contextlib.suppress(OSError):  # a host that forbids it only makes it slower
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    return ask


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    limit: float,
    stdin: bytes = b"",
    log: IO[bytes] | None = None,
    environ: Mapping[str, str] | None = None,
    patience: float = 0.0,
    pass_fds: Sequence[int] = (),
    folder: Path | None = None,
    identity: Identity | None = None,
) -> Finished:
    """Run a program in a session of its own until it ends or the limit is over.

    Args:
        command: the program and its arguments; no shell looks at them.
        limit: seconds; then the program's whole process group is killed and the program reaped.
        stdin: bytes to hand over; standard input then ends.
        log: an open file that takes standard output and standard error together, as they come.
        environ: the environment; ours if None.
        patience: seconds that the group gets between SIGINT and SIGKILL, for what may not be torn off in the
            middle, such as a package manager; it then outlives us too. 0: SIGKILL at once.
        pass_fds: open files that the program inherits, such as a lock that holds for as long as it lives.
        folder: where it runs; where we do if None.
        identity: whom it runs as; not together with patience.

    Raises:
        OSError: the program cannot be started.
    """
    options: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": log or subprocess.PIPE,
        "stderr": subprocess.STDOUT if log else subprocess.PIPE,
        "env": environ,
        "pass_fds": pass_fds,
        "cwd": folder,
    }
    # what may not be torn off must not die with us either
    made = (
        subprocess.Popen(command, start_new_session=True, **options)
        if patience
        else start(command, identity=identity, **options)
    )
    with made as process:
        try:
            out, err = process.communicate(stdin, timeout=limit)
            expired = False
        except subprocess.TimeoutExpired:
            out, err = _kill(process, patience)
            expired = True
        except BaseException:
            _kill(process, patience)
            raise
    return Finished(process.returncode, out or b"", err or b"", expired)


def _kill(process: subprocess.Popen[bytes], patience: float) -> tuple[bytes, bytes]:
    """End the group, reap the program, and return what it had said."""
    if patience and _signal(process, signal.SIGINT):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=patience)
    _signal(process, signal.SIGKILL)
    try:
        return process.communicate(timeout=_DRAIN_SECONDS)
    except subprocess.TimeoutExpired as late:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait()
        return late.output or b"", late.stderr or b""


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    """Send a signal to the group of a program; false if it cannot be, or nobody is left in it."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        # interrupted, `communicate` itself waits for the program a moment, and may have reaped it
        return False
    except PermissionError:
        # sudo runs as somebody else: what it does ends by itself, and is waited for
        return False
    return True
