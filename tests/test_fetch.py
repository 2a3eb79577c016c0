from __future__ import annotations

import fcntl
import hashlib
import resource
from typing import TYPE_CHECKING, Any

import pytest
from webserver import Handler, Server, answer, cut_off, drip, serving, stall, undeclared

from sistasks.errors import FetchError
from sistasks.fetch import fetch, file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BODY = bytes(range(256)) * 2048  # 512 KiB: many reads
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(Server(BODY), monkeypatch) as state:
        yield state


def get(server: Server, target: Path, **changed: Any) -> Path:
    arguments: dict[str, Any] = {
        "sha256": SHA256, "max_size": len(BODY), "timeout": 5, "attempts": 3, "backoff": 0.01,
    }  # fmt: skip
    return fetch(server.url, target, **(arguments | changed))


def refusal(server: Server, target: Path, **changed: Any) -> str:
    with pytest.raises(FetchError) as caught:
        get(server, target, **changed)
    assert not target.exists()
    assert server.url in caught.value.problem
    return str(caught.value)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def parts(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.endswith(".part")]


def test_good(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "file"
    assert get(server, target) == target
    assert target.read_bytes() == BODY
    assert names(target.parent) == ["file"]
    assert len(server.requests) == 1


def test_a_verified_file_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    target = get(server, tmp_path / "file")
    get(server, target)
    assert len(server.requests) == 1


def test_a_changed_file_is_replaced(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(BODY[:-1])
    get(server, target)
    assert target.read_bytes() == BODY


def test_wrong_hash_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    server.body = BODY[:-1] + b"?"
    found = hashlib.sha256(server.body).hexdigest()
    sentence = refusal(server, tmp_path / "file")
    assert found[:12] in sentence
    assert SHA256[:12] in sentence
    assert len(server.requests) == 1
    assert names(tmp_path) == []


def test_cut_off_goes_on_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.faults = [cut_off(100_000), cut_off(50_000)]
    assert get(server, tmp_path / "file").read_bytes() == BODY
    assert [asked for _, asked in server.requests] == ["", "bytes=100000-", "bytes=150000-"]
    assert names(tmp_path) == ["file"]


def test_cut_off_starts_over_where_the_server_cannot_resume(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.faults = [cut_off(100_000)]
    assert get(server, tmp_path / "file").read_bytes() == BODY


def test_always_cut_off_and_never_resumable_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.faults = [cut_off(100_000)] * 3
    assert f"cut off after 100000 of {len(BODY)} bytes" in refusal(server, tmp_path / "file")
    assert len(server.requests) == 3
    assert names(tmp_path) == []


def test_a_later_session_resumes_the_part(server: Server, tmp_path: Path) -> None:
    server.faults = [cut_off(100_000)]
    refusal(server, tmp_path / "file", attempts=1)
    (part,) = parts(tmp_path)
    assert part.read_bytes() == BODY[:100_000]
    assert get(server, tmp_path / "file").read_bytes() == BODY
    assert server.requests[-1][1] == "bytes=100000-"
    assert names(tmp_path) == ["file"]


def test_a_part_outlives_a_server_that_is_down(server: Server, tmp_path: Path) -> None:
    server.faults = [cut_off(100_000), answer(503)]
    refusal(server, tmp_path / "file", attempts=1)
    refusal(server, tmp_path / "file", attempts=1)
    assert [part.stat().st_size for part in parts(tmp_path)] == [100_000]


@pytest.mark.parametrize(
    "left", [b"x" * 1000, BODY + b"x", b"x" * len(BODY)], ids=["other", "longer", "full"]
)
def test_a_part_that_does_not_fit_is_started_over(server: Server, tmp_path: Path, left: bytes) -> None:
    (tmp_path / f".file.{SHA256[:12]}.part").write_bytes(left)
    assert get(server, tmp_path / "file").read_bytes() == BODY
    assert names(tmp_path) == ["file"]


def test_a_server_that_answers_another_range_is_started_over(server: Server, tmp_path: Path) -> None:
    def shifted(handler: Handler) -> None:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 5-{len(BODY) - 1}/{len(BODY)}")
        handler.send_header("Content-Length", str(len(BODY) - 5))
        handler.end_headers()
        handler.wfile.write(BODY[5:])

    server.faults = [cut_off(100_000), shifted]
    assert get(server, tmp_path / "file").read_bytes() == BODY
    assert [asked for _, asked in server.requests] == ["", "bytes=100000-", ""]


def test_404_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    server.faults = [answer(404)] * 3
    assert "answered 404 Not Found" in refusal(server, tmp_path / "file")
    assert len(server.requests) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", [500, 503, 429])
def test_a_fault_of_the_server_passes(server: Server, tmp_path: Path, code: int) -> None:
    server.faults = [answer(code)] * 2
    assert get(server, tmp_path / "file").read_bytes() == BODY


def test_always_500(server: Server, tmp_path: Path) -> None:
    server.faults = [answer(500)] * 9
    assert "answered 500" in refusal(server, tmp_path / "file")
    assert len(server.requests) == 3
    assert names(tmp_path) == []


def test_a_stall_ends_and_the_rest_is_fetched(server: Server, tmp_path: Path) -> None:
    server.faults = [stall]
    assert get(server, tmp_path / "file", timeout=0.2).read_bytes() == BODY
    assert server.requests[-1][1] == "bytes=1000-"


def test_a_stall_names_itself(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.faults = [stall]
    assert "sent nothing for 0.1 s" in refusal(server, tmp_path / "file", timeout=0.1, attempts=1)
    assert names(tmp_path) == []


def test_a_dripping_server_meets_the_deadline(server: Server, tmp_path: Path) -> None:
    server.faults = [drip] * 3
    assert "too slow" in refusal(server, tmp_path / "file", deadline=0.3)
    assert len(server.requests) == 1


def test_too_large_as_declared(server: Server, tmp_path: Path) -> None:
    sentence = refusal(server, tmp_path / "file", max_size=1000)
    assert f"{len(BODY)} bytes, at most 1000" in sentence
    assert len(server.requests) == 1
    assert names(tmp_path) == []


def test_too_large_undeclared(server: Server, tmp_path: Path) -> None:
    server.body = BODY * 20
    server.faults = [undeclared]
    assert "at most" in refusal(server, tmp_path / "file")
    assert len(server.requests) == 1
    assert names(tmp_path) == []


def test_a_size_that_is_not_declared_is_fine(server: Server, tmp_path: Path) -> None:
    server.faults = [undeclared]
    assert get(server, tmp_path / "file").read_bytes() == BODY


def test_nobody_listens(server: Server, tmp_path: Path) -> None:
    server.url = "http://127.0.0.1:1/file"
    assert "Connection refused" in refusal(server, tmp_path / "file")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "/x",
        "",
        "http://[::1/x",
        "http://127.0.0.1:x/",
        "http://a b/",
        "http://127.0.0.1/é",
    ],
)
def test_what_is_no_address(server: Server, tmp_path: Path, url: str) -> None:
    server.url = url
    refusal(server, tmp_path / "file")
    assert names(tmp_path) == []


def test_a_redirect_is_followed_to_http_only(server: Server, tmp_path: Path) -> None:
    def elsewhere(to: str) -> Callable[[Handler], None]:
        def redirect(handler: Handler) -> None:
            handler.send_response(302)
            handler.send_header("Location", to)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        return redirect

    (tmp_path / "secret").write_bytes(BODY)
    server.faults = [elsewhere((tmp_path / "secret").as_uri())]
    refusal(server, tmp_path / "file")
    server.faults = [elsewhere("/other")]
    get(server, tmp_path / "file")
    assert [path for path, _ in server.requests] == ["/file", "/file", "/other"]


def test_a_proxy_of_the_environment_is_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server.url = "http://nowhere.invalid/file"
    get(server, tmp_path / "file")
    assert server.requests == [("http://nowhere.invalid/file", "")]


def test_two_sessions_do_not_write_to_one_part(server: Server, tmp_path: Path) -> None:
    with (tmp_path / f".file.{SHA256[:12]}.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "by another session" in refusal(server, tmp_path / "file")
    assert server.requests == []


def test_no_room(server: Server, tmp_path: Path) -> None:
    """A folder that is a file stands for every fault of the disk."""
    (tmp_path / "folder").write_bytes(b"")
    with pytest.raises(FetchError, match=r"cannot be stored at .*folder"):
        get(server, tmp_path / "folder" / "file")


def test_a_disk_that_takes_no_more(server: Server, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: the kernel refuses the write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        sentence = refusal(server, tmp_path / "file")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"cannot be stored at {tmp_path / 'file'}: File too large" in sentence
    assert names(tmp_path) == []


def test_interrupted_keeps_what_can_be_resumed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults = [cut_off(100_000)]

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sistasks.fetch.time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        get(server, tmp_path / "file")
    assert [part.stat().st_size for part in parts(tmp_path)] == [100_000]


def test_pauses_double(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("sistasks.fetch.time.sleep", pauses.append)
    server.faults = [answer(500)] * 9
    refusal(server, tmp_path / "file", attempts=4, backoff=1.5)
    assert pauses == [1.5, 3.0, 6.0]


def test_file_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-4's own example
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "a") == expected
