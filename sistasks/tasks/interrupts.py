"""Ctrl-C, SIGTERM and SIGHUP are one thing: what runs is ended, and the person is told what is kept."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType, TracebackType

INTERRUPTED: Final = 130


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so shells start jobs in the background
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An interrupt between two steps is no mistake of the program: a sentence instead of a trace."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write("interrupted: nothing was running, everything is as it was\n")
    sys.exit(INTERRUPTED)


def listen() -> None:
    """Take SIGTERM and SIGHUP as Ctrl-C, but not what `nohup` has set aside; also between two steps.

    Standard streams that were closed for us lead nowhere, so that nothing else takes their numbers.
    Without this SIGTERM and SIGHUP would end the session in the middle, without a word.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - as long as the process
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    sys.excepthook = _say
    if sys.argv[1:2] == ["list"]:  # it does nothing but talk: `| head` may end it
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


listen()
