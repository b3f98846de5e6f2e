# Unguessable words from a key: SipHash-2-4 of a counter. A registrar sees our branches and tags and
# must not learn from them what those of another registration will be.
from libc.stdint cimport uint64_t

cdef struct Entropy:
    uint64_t key0, key1, counter

cdef inline uint64_t rotate(uint64_t word, int bits) noexcept nogil:
    return (word << bits) | (word >> (64 - bits))

cdef inline void sip_round(uint64_t* v) noexcept nogil:
    v[0] += v[1]
    v[2] += v[3]
    v[1] = rotate(v[1], 13) ^ v[0]
    v[3] = rotate(v[3], 16) ^ v[2]
    v[0] = rotate(v[0], 32)
    v[2] += v[1]
    v[0] += v[3]
    v[1] = rotate(v[1], 17) ^ v[2]
    v[3] = rotate(v[3], 21) ^ v[0]
    v[2] = rotate(v[2], 32)

cdef inline uint64_t secret_word(Entropy* entropy) noexcept nogil:
    cdef uint64_t v[4]
    v[0] = entropy.key0 ^ <uint64_t>0x736f6d6570736575
    v[1] = entropy.key1 ^ <uint64_t>0x646f72616e646f6d
    v[2] = entropy.key0 ^ <uint64_t>0x6c7967656e657261
    v[3] = entropy.key1 ^ <uint64_t>0x7465646279746573 ^ entropy.counter
    sip_round(v)
    sip_round(v)
    v[0] ^= entropy.counter
    entropy.counter += 1
    # the last block of an eight-byte message holds its length
    v[3] ^= <uint64_t>8 << 56
    sip_round(v)
    sip_round(v)
    v[0] ^= <uint64_t>8 << 56
    v[2] ^= 0xff
    sip_round(v)
    sip_round(v)
    sip_round(v)
    sip_round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]
