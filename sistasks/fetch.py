"""A pinned download: the file with this sha256 from this address, or one clear refusal.

The target's name never holds anything but the whole, verified file. What was received before a
fault waits in a hidden `.part` file beside it, named after the expected hash, and only where the
server says that it can go on from there (RFC 9110, section 14: range requests).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from sistasks.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPResponse
    from urllib.error import HTTPError

_CHUNK: Final = 1 << 16
# the answers that ask a client to come again; other 4xx stay what they are however often one asks
_PASSING_4XX: Final = frozenset({408, 425, 429})


class _PassingError(Exception):
    """A fault that the next attempt may not meet."""


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, 64 lower-case hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def show_hash(sha256: str) -> str:
    """A hash short enough for a sentence."""
    return f"{sha256[:12]}…" if sha256 else "none"


@dataclass
class _Download:
    """One download's limits and what is known of its server.

    Attributes:
        url: the address.
        part: the open partial file.
        max_size: bytes that the whole file may have.
        timeout: seconds without a byte that end an attempt.
        end: the instant (time.monotonic) at which the download is given up.
        resumable: the server has said that it answers range requests.
    """

    url: str
    part: IO[bytes]
    max_size: int
    timeout: float
    end: float
    resumable: bool = False

    def attempt(self) -> bool:
        """Receive what is still missing.

        Returns:
            True if bytes of an earlier attempt are part of the file.

        Raises:
            _PassingError: worth another attempt.
            FetchError: not worth another attempt.
        """
        from http.client import HTTPException, InvalidURL
        from urllib.error import HTTPError

        offset = self.part.seek(0, os.SEEK_END)
        try:
            response = self._open(offset)
        except HTTPError as error:
            with error:
                raise self._refused(error, offset) from error
        except (ValueError, InvalidURL) as error:
            raise FetchError(f"{self.url} is no address: {error}", "check the address") from error
        except (OSError, HTTPException) as error:
            raise self._fault(error) from error
        with response:
            offset = self._accepted_offset(response, offset)
            expected = None if response.length is None else offset + response.length
            if expected is not None and expected > self.max_size:
                raise self._too_large(f"{expected} bytes")
            received = self._receive(response, offset)
        if expected is not None and received < expected:
            raise _PassingError(f"was cut off after {received} of {expected} bytes")
        return offset > 0

    def restart(self) -> None:
        """Forget what was received."""
        self.part.seek(0)
        self.part.truncate()

    def _open(self, offset: int) -> HTTPResponse:
        from urllib import request as urllib_request

        # only these handlers: a redirect may not lead to file:, ftp: or data:
        opener = urllib_request.OpenerDirector()
        for handler in (
            urllib_request.ProxyHandler,
            urllib_request.HTTPHandler,
            urllib_request.HTTPSHandler,
            urllib_request.HTTPDefaultErrorHandler,
            urllib_request.HTTPRedirectHandler,
            urllib_request.HTTPErrorProcessor,
            urllib_request.UnknownHandler,
        ):
            opener.add_handler(handler())
        headers = {"User-Agent": "sistasks", "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        request = urllib_request.Request(self.url, headers=headers)  # noqa: S310 -- fetch() lets http(s) only
        seconds = max(0.001, min(self.timeout, self.end - time.monotonic()))
        response: HTTPResponse = opener.open(request, timeout=seconds)
        return response

    def _refused(self, error: HTTPError, offset: int) -> Exception:
        if error.code == 416 and offset:
            self.restart()
            return _PassingError("does not know the rest of what was received before")
        if error.code >= 500 or error.code in _PASSING_4XX:
            return _PassingError(f"answered {error.code} {error.reason}")
        return FetchError(f"{self.url} answered {error.code} {error.reason}", "check the address")

    def _fault(self, error: Exception) -> Exception:
        import ssl

        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return FetchError(f"{self.url} has no valid certificate: {reason.verify_message}")
        if isinstance(reason, TimeoutError):
            return _PassingError(f"sent nothing for {self.timeout:g} s")
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        return _PassingError(f"failed: {text}")

    def _accepted_offset(self, response: HTTPResponse, offset: int) -> int:
        """Where the response's first byte belongs; the partial file then ends there."""
        self.resumable = response.status == 206 or response.headers.get("Accept-Ranges") == "bytes"
        if response.status == 200:
            self.restart()
            return 0
        match = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range") or "")
        if response.status == 206 and offset and match is not None and int(match[1]) == offset:
            return offset
        self.restart()
        raise _PassingError(f"answered {response.status} with something that was not asked for")

    def _receive(self, response: HTTPResponse, received: int) -> int:
        from http.client import HTTPException

        while True:
            if time.monotonic() >= self.end:
                raise _PassingError(f"was too slow: {received} bytes until the deadline")
            try:
                # read1 returns what has come; read would wait for a whole chunk, past the deadline
                chunk = response.read1(_CHUNK)
            except (OSError, HTTPException) as error:
                raise self._fault(error) from error
            if not chunk:
                return received
            received += len(chunk)
            if received > self.max_size:
                raise self._too_large("more")
            rest = memoryview(chunk)
            while rest:
                rest = rest[self.part.write(rest) :]

    def _too_large(self, found: str) -> FetchError:
        return FetchError(
            f"{self.url} has {found}, at most {self.max_size} bytes are expected", "check the address"
        )


def fetch(
    url: str,
    target: Path,
    *,
    sha256: str,
    max_size: int,
    timeout: float = 30.0,
    attempts: int = 4,
    backoff: float = 1.0,
    deadline: float = 900.0,
) -> Path:
    """Download `url` to `target`, which afterwards is exactly the file that was pinned.

    A target that already has the hash is left alone, without network. Faults that pass (connection,
    5xx, time-outs, cut off) are tried again, from where they broke where the server can do that;
    404, a wrong hash and a file that is too large are not. Proxies are those of urllib's environment.

    Args:
        url: an http or https address.
        target: the file; its folder is made.
        sha256: the expected hash, 64 hexadecimal digits.
        max_size: bytes that the file may have, whatever the server says.
        timeout: seconds without a byte after which an attempt is given up.
        attempts: how often the server is asked in all.
        backoff: seconds before the second attempt; twice as many before each later one.
        deadline: seconds after which the download is given up (at most `timeout` later).

    Returns:
        The target.

    Raises:
        FetchError: the address and what happened; no half file is under the target's name.
    """
    if not re.match(r"https?://[^/]", url):
        raise FetchError(f"{url} cannot be fetched", "only http:// and https:// addresses can")
    end = time.monotonic() + deadline
    try:
        if target.is_file() and file_sha256(target) == sha256:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        # named after the hash: bytes of another version are never gone on with
        with _open_part(target.with_name(f".{target.name}.{sha256[:12]}.part"), url) as part:
            # what an earlier session left was resumable then; the server's answer decides anew
            resumable = part.seek(0, os.SEEK_END) > 0
            download = _Download(url, part, max_size, timeout, end, resumable)
            try:
                _complete(download, sha256, attempts=attempts, backoff=backoff)
                os.fsync(part.fileno())
                Path(part.name).rename(target)
            except BaseException as error:
                # on a full disk the part would only keep it full
                if isinstance(error, OSError) or not (download.resumable and part.tell()):
                    Path(part.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise FetchError(
            f"{url} cannot be stored at {error.filename or target}: {error.strerror}",
            "make room there or choose another place",
        ) from error
    return target


def _complete(download: _Download, sha256: str, *, attempts: int, backoff: float) -> None:
    problem = "was not asked"
    for attempt in range(attempts):
        if attempt:
            time.sleep(max(0.0, min(backoff * 2 ** (attempt - 1), download.end - time.monotonic())))
        try:
            resumed = download.attempt()
        except _PassingError as error:
            problem = str(error)
            if time.monotonic() >= download.end:
                break
            continue
        except FetchError:
            download.restart()
            raise
        found = file_sha256(Path(download.part.name))
        if found == sha256:
            return
        download.restart()
        problem = f"has sha256 {show_hash(found)}, expected {show_hash(sha256)}"
        # after a resumed download the earlier part may be what is wrong: once more, from the start
        if not resumed:
            raise FetchError(f"{download.url} {problem}", "it is not the file that was pinned; do not use it")
    raise FetchError(f"{download.url} {problem}", "check the network and try again")


@contextlib.contextmanager
def _open_part(path: Path, url: str) -> Iterator[IO[bytes]]:
    """The partial file, open and ours alone: two sessions never write to the same one."""
    while True:
        # unbuffered: what was received is in the file, also when this process is killed
        with path.open("ab+", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FetchError(
                    f"{url} is being fetched to {path.parent} by another session", "wait until it is done"
                ) from None
            # between open and lock its former owner may have renamed it to the finished target
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                yield file
                return
