"""What holds for every test."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Signals as a terminal gives them: under nohup or in a background job they would be ignored, and inherited so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
