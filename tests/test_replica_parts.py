"""The replicas' SHA-256 and HMAC beside Python's own."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from native import compile_harness, run_harness

if TYPE_CHECKING:
    from pathlib import Path

# standard input: length of the key u32, the key, the message; cut into pieces of the size that the argument gives
HARNESS = r"""
#include <stdio.h>
#include <stdlib.h>
#include "replica/sha256.c"

static uint8_t input[1 << 16];

int main(int count, char **arguments)
{
    uint8_t out[2 * DIGEST];
    struct sha256 hash;
    struct hmac_key key;
    size_t piece = count == 2 ? strtoul(arguments[1], NULL, 10) : 1, size = fread(input, 1, sizeof input, stdin);
    uint32_t secret = get_u32(input);
    uint8_t *message = input + 4 + secret;
    size_t length = size - 4 - secret;
    sha256_begin(&hash);
    for (size_t at = 0; at < length; at += piece) {
        sha256_add(&hash, message + at, length - at < piece ? length - at : piece);
    }
    sha256_end(&hash, out);
    hmac_prepare(&key, input + 4, secret);
    hmac(&key, message, length, out + DIGEST);
    fwrite(out, 1, sizeof out, stdout);
    return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_harness(tmp_path_factory.mktemp("sha256"), HARNESS)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(b"", b"", 1)
@example(b"k" * 64, b"m" * 55, 1)
@example(b"k" * 65, b"m" * 56, 64)
@example(b"k" * 16, b"m" * 64, 63)
@given(st.binary(max_size=200), st.binary(max_size=400), st.integers(1, 130))
def test_digests_are_those_of_the_standard(program: Path, key: bytes, message: bytes, piece: int) -> None:
    out = run_harness(program, str(piece), stdin=len(key).to_bytes(4, "little") + key + message)
    assert out[:32] == hashlib.sha256(message).digest()
    assert out[32:] == hmac.digest(key, message, "sha256")
