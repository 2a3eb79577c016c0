"""Frames that come over a line, as far as they are whole."""

from __future__ import annotations

from sistasks.guest.frames import Frame, FrameError, FrameParser, FrameType, encode


def stream(frames: list[tuple[FrameType, bytes]], first: int = 0) -> list[bytes]:
    return [encode(kind, first + number, payload) for number, (kind, payload) in enumerate(frames)]


def parse(data: bytes, first: int = 0) -> tuple[list[Frame], str]:
    """The frames that come before the end or the first damage, and the damage."""
    parser = FrameParser()
    parser.resume_at(first)
    frames = []
    try:
        for frame in parser.feed(data):
            frames.append(frame)  # noqa: PERF402 - those before a damage are kept
    except FrameError as error:
        return frames, str(error)
    return frames, ""


def whole(frames: list[tuple[FrameType, bytes]], first: int) -> list[Frame]:
    return [Frame(kind, first + number, payload) for number, (kind, payload) in enumerate(frames)]
