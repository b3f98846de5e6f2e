# cython: boundscheck=False, wraparound=False, cdivision=True
"""Keyed hashing: SipHash-2-4 in its 64- and 128-bit forms.

A keyed hash does many jobs, each under a key of its own. In the registrar it authenticates nonces,
indexes tables so that a stranger cannot aim at one chain, makes To tags that a retransmission meets
again (RFC 3261 section 8.2.7) and draws faults. In the user agent client it makes branches and tags
(the hash of a counter) from which nobody can learn the next ones.
"""

from hashlib import blake2b

from libc.stdint cimport uint64_t
from libc.string cimport memcpy


cdef struct State:
    uint64_t v0
    uint64_t v1
    uint64_t v2
    uint64_t v3


cdef inline uint64_t _rotate(uint64_t word, int bits) noexcept nogil:
    return (word << bits) | (word >> (64 - bits))


cdef inline void _round(State* s) noexcept nogil:
    s.v0 += s.v1
    s.v1 = _rotate(s.v1, 13) ^ s.v0
    s.v0 = _rotate(s.v0, 32)
    s.v2 += s.v3
    s.v3 = _rotate(s.v3, 16) ^ s.v2
    s.v0 += s.v3
    s.v3 = _rotate(s.v3, 21) ^ s.v0
    s.v2 += s.v1
    s.v1 = _rotate(s.v1, 17) ^ s.v2
    s.v2 = _rotate(s.v2, 32)


cdef inline void _absorb(State* s, uint64_t word) noexcept nogil:
    s.v3 ^= word
    _round(s)
    _round(s)
    s.v0 ^= word


cdef inline uint64_t _squeeze(State* s) noexcept nogil:
    _round(s)
    _round(s)
    _round(s)
    _round(s)
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3


cdef inline void _begin(State* s, const Key* key) noexcept nogil:
    # the four constants of the definition: "somepseudorandomlygeneratedbytes"
    s.v0 = key.k0 ^ <uint64_t>0x736f6d6570736575
    s.v1 = key.k1 ^ <uint64_t>0x646f72616e646f6d
    s.v2 = key.k0 ^ <uint64_t>0x6c7967656e657261
    s.v3 = key.k1 ^ <uint64_t>0x7465646279746573


cdef inline void _absorb_bytes(State* s, const char* data, size_t length) noexcept nogil:
    cdef uint64_t word
    cdef size_t rest = length
    while rest >= 8:
        memcpy(&word, data, 8)
        _absorb(s, word)
        data += 8
        rest -= 8
    word = 0
    memcpy(&word, data, rest)
    _absorb(s, word | (<uint64_t>length << 56))


cdef uint64_t keyed_hash(const Key* key, const char* data, size_t length) noexcept nogil:
    cdef State s
    _begin(&s, key)
    _absorb_bytes(&s, data, length)
    s.v2 ^= 0xff
    return _squeeze(&s)


cdef uint64_t keyed_word(const Key* key, uint64_t word) noexcept nogil:
    return keyed_hash(key, <const char*>&word, 8)


cdef void keyed_hash_128(const Key* key, const char* data, size_t length,
                         uint64_t* high, uint64_t* low) noexcept nogil:
    cdef State s
    _begin(&s, key)
    s.v1 ^= 0xee
    _absorb_bytes(&s, data, length)
    s.v2 ^= 0xee
    high[0] = _squeeze(&s)
    s.v1 ^= 0xdd
    low[0] = _squeeze(&s)


cdef Key derive_key(object seed, bytes purpose):
    cdef Key key
    text = str(int(seed)).encode()
    cdef bytes raw = blake2b(text, digest_size=16, person=purpose).digest()
    memcpy(&key.k0, <const char*>raw, 8)
    memcpy(&key.k1, <const char*>raw + 8, 8)
    return key


def siphash(bytes key not None, bytes data not None):
    """See keyed.pyi."""
    if len(key) != 16:
        raise ValueError("a key has 16 bytes")
    cdef Key k
    cdef uint64_t high = 0, low = 0
    memcpy(&k.k0, <const char*>key, 8)
    memcpy(&k.k1, <const char*>key + 8, 8)
    keyed_hash_128(&k, <const char*>data, len(data), &high, &low)
    return keyed_hash(&k, <const char*>data, len(data)), (high, low)
