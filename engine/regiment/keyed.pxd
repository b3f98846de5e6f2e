# Keyed hashing: SipHash-2-4, for nonces, tables, tags, branches and the draws of faults.
from libc.stdint cimport uint64_t

cdef struct Key:
    uint64_t k0
    uint64_t k1

# SipHash-2-4 with its 64-bit result.
cdef uint64_t keyed_hash(const Key* key, const char* data, size_t length) noexcept nogil
# The same over one 64-bit word (as 8 little-endian bytes).
cdef uint64_t keyed_word(const Key* key, uint64_t word) noexcept nogil
# SipHash-2-4 with its 128-bit result, as two words.
cdef void keyed_hash_128(const Key* key, const char* data, size_t length,
                         uint64_t* high, uint64_t* low) noexcept nogil
# A key for one purpose, from a seed.
cdef Key derive_key(object seed, bytes purpose)
