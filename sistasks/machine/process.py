"""A child process that cannot outlive us: it dies with its parent, is waited for by event, and is always reaped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from typing import IO, TYPE_CHECKING

from sistasks.errors import NodeError
from sistasks.programs import start

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sistasks.machine.confinement import Identity


class Process:
    """One running child; made by `spawn`. Its return code is a future that the event loop sets."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self.pid = child.pid
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = loop.create_future()
        if hasattr(os, "pidfd_open"):
            self._pidfd = os.pidfd_open(child.pid)
            loop.add_reader(self._pidfd, self._reap)
        else:  # no pidfd: a thread waits
            self._pidfd = -1
            waiting = loop.run_in_executor(None, child.wait)
            waiting.add_done_callback(lambda _: self._reap())

    def _reap(self) -> None:
        code = self._child.wait()
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        if not self.exited.done():
            self.exited.set_result(code)

    @property
    def running(self) -> bool:
        """Whether the child has not been reaped yet."""
        return self._child.returncode is None

    def kill(self) -> None:
        """End the child at once; it is reaped by the event loop."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()

    async def stop(self, grace: float) -> None:
        """Ask the child to end, kill it after `grace` seconds, and wait until it is gone.

        Cancelled meanwhile (a second Ctrl-C), it is killed and reaped before this returns.
        """
        try:
            if self.running:
                with contextlib.suppress(ProcessLookupError):
                    self._child.terminate()
                await asyncio.wait([self.exited], timeout=grace)
            self.kill()
            await asyncio.shield(self.exited)
        except asyncio.CancelledError:
            if self.running:
                self._child.kill()
                self._reap()
            raise


def spawn(
    command: Sequence[str],
    *,
    pass_fds: Sequence[int],
    stderr: IO[bytes],
    in_turn: bool = False,
    identity: Identity | None = None,
    environ: Mapping[str, str] | None = None,
) -> Process:
    """Start a child in a session of its own, so that Ctrl-C reaches only us.

    Args:
        command: the program and its arguments.
        pass_fds: descriptors that it inherits.
        stderr: where its words go.
        in_turn: see `programs.start`.
        identity: see `programs.start`.
        environ: its environment; ours if None.

    Raises:
        NodeError: the program cannot be started.
    """
    try:
        child = start(
            command,
            in_turn=in_turn,
            identity=identity,
            env=environ,
            pass_fds=pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
        )
    except OSError as error:
        raise NodeError(f"{command[0]} cannot be started: {error.strerror}", "doit setup") from error
    return Process(child)
