"""This invocation of doit: when it began, and the mark that its processes and files carry."""

from __future__ import annotations

import datetime as dt
import os
from typing import Final

SESSION_STARTED: Final = dt.datetime.now(dt.UTC)
# it ends in the id of this process, by which leftovers are told from nodes that still have an owner
SESSION_ID: Final = f"{SESSION_STARTED:%Y%m%dT%H%M%S}-{os.getpid()}"
