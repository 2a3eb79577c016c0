/* SHA-256 (FIPS 180-4) and HMAC (RFC 2104) with it; checked against Python's hashlib. */
#include <string.h>

#include "replica.h"

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))

/* FIPS 180-4, 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes */
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* 5.3.3 */
static const uint32_t initial[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static uint32_t big_endian(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return __builtin_bswap32(value);
}

static void put_big_endian(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

/* One round of 6.2.2, step 3. Instead of moving the eight variables, their names move from round to round: under
 * emulation each move costs as much as the arithmetic.
 */
#define ROUND(a, b, c, d, e, f, g, h, t)                                                                               \
    do {                                                                                                               \
        uint32_t t1 = h + (ROTATE(e, 6) ^ ROTATE(e, 11) ^ ROTATE(e, 25)) + (g ^ (e & (f ^ g))) + constants[t] + w[t];  \
        d += t1;                                                                                                       \
        h = t1 + (ROTATE(a, 2) ^ ROTATE(a, 13) ^ ROTATE(a, 22)) + ((a & b) | (c & (a | b)));                           \
    } while (0)

static void compress(uint32_t state[8], const uint8_t block[64])
{
    uint32_t w[64];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 16; t++) {
        w[t] = big_endian(block + 4 * t);
    }
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = ROTATE(w[t - 15], 7) ^ ROTATE(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = ROTATE(w[t - 2], 17) ^ ROTATE(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    for (int t = 0; t < 64; t += 8) {
        ROUND(a, b, c, d, e, f, g, h, t);
        ROUND(h, a, b, c, d, e, f, g, t + 1);
        ROUND(g, h, a, b, c, d, e, f, t + 2);
        ROUND(f, g, h, a, b, c, d, e, t + 3);
        ROUND(e, f, g, h, a, b, c, d, t + 4);
        ROUND(d, e, f, g, h, a, b, c, t + 5);
        ROUND(c, d, e, f, g, h, a, b, t + 6);
        ROUND(b, c, d, e, f, g, h, a, t + 7);
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

void sha256_begin(struct sha256 *hash)
{
    memcpy(hash->state, initial, sizeof initial);
    hash->length = 0;
}

void sha256_add(struct sha256 *hash, const void *data, size_t size)
{
    const uint8_t *from = data;
    while (size > 0) {
        size_t filled = hash->length % 64;
        size_t some = size < 64 - filled ? size : 64 - filled;
        memcpy(hash->block + filled, from, some);
        hash->length += some;
        from += some;
        size -= some;
        if (hash->length % 64 == 0) {
            compress(hash->state, hash->block);
        }
    }
}

void sha256_end(struct sha256 *hash, uint8_t digest[DIGEST])
{
    uint64_t bits = hash->length * 8;
    size_t filled = hash->length % 64;
    hash->block[filled++] = 0x80;
    if (filled > 56) {
        memset(hash->block + filled, 0, 64 - filled);
        compress(hash->state, hash->block);
        filled = 0;
    }
    memset(hash->block + filled, 0, 56 - filled);
    put_big_endian(hash->block + 56, (uint32_t)(bits >> 32));
    put_big_endian(hash->block + 60, (uint32_t)bits);
    compress(hash->state, hash->block);
    for (int i = 0; i < 8; i++) {
        put_big_endian(digest + 4 * i, hash->state[i]);
    }
}

void sha256_of(const void *data, size_t size, uint8_t digest[DIGEST])
{
    struct sha256 hash;
    sha256_begin(&hash);
    sha256_add(&hash, data, size);
    sha256_end(&hash, digest);
}

void hmac_prepare(struct hmac_key *key, const void *secret, size_t size)
{
    uint8_t block[64] = {0}, padded[64];
    if (size > sizeof block) {
        sha256_of(secret, size, block);
    } else {
        memcpy(block, secret, size);
    }
    for (int i = 0; i < 64; i++) {
        padded[i] = block[i] ^ 0x36;
    }
    memcpy(key->inner, initial, sizeof initial);
    compress(key->inner, padded);
    for (int i = 0; i < 64; i++) {
        padded[i] = block[i] ^ 0x5c;
    }
    memcpy(key->outer, initial, sizeof initial);
    compress(key->outer, padded);
}

void hmac(const struct hmac_key *key, const void *data, size_t size, uint8_t mac[DIGEST])
{
    struct sha256 hash = {.length = 64};
    uint8_t inner[DIGEST];
    memcpy(hash.state, key->inner, sizeof key->inner);
    sha256_add(&hash, data, size);
    sha256_end(&hash, inner);
    memcpy(hash.state, key->outer, sizeof key->outer);
    hash.length = 64;
    sha256_add(&hash, inner, sizeof inner);
    sha256_end(&hash, mac);
}
