# cython: boundscheck=False, wraparound=False
"""A table of HA1 by user, so that the verification of a known user costs one hash.

Names are kept as 128-bit keyed hashes: 56 bytes a user however long the name, and nobody without
the key can find two names that collide. Only users whose digest was right are kept, so a stranger
who tries names fills nothing.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy


cdef class Keyring:
    def __init__(self, uint32_t limit=4_194_304):
        self.limit = limit
        self.mask = 255
        self.rings = <Ring*>calloc(self.mask + 1, sizeof(Ring))
        if self.rings == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.rings)

    def __len__(self):
        return self.count

    cdef const uint8_t* find(self, uint64_t high, uint64_t low, int algorithm) noexcept nogil:
        cdef Ring* ring = _place(self.rings, self.mask, high, low)
        if ring.high == high and ring.low == low and ring.algorithm == algorithm:
            return ring.ha1
        return NULL

    cdef void keep(self, uint64_t high, uint64_t low, int algorithm,
                   const uint8_t* ha1) noexcept nogil:
        cdef Ring* ring = _place(self.rings, self.mask, high, low)
        if ring.high == 0 and ring.low == 0:
            if self.count >= self.limit:
                return
            if (self.count + 1) * 4 > (self.mask + 1) * 3:
                if not _grow(self):
                    return
                ring = _place(self.rings, self.mask, high, low)
            ring.high = high
            ring.low = low
            self.count += 1
        ring.algorithm = <uint8_t>algorithm
        if ha1 != NULL:
            memcpy(ring.ha1, ha1, 32)


cdef Ring* _place(Ring* rings, uint32_t mask, uint64_t high, uint64_t low) noexcept nogil:
    # where the user is, or the free place where he would be
    cdef uint32_t at = <uint32_t>low & mask
    while (rings[at].high or rings[at].low) and not (rings[at].high == high
                                                     and rings[at].low == low):
        at = (at + 1) & mask
    return &rings[at]


cdef bint _grow(Keyring ring) noexcept nogil:
    cdef uint32_t mask = ring.mask * 2 + 1, i
    cdef Ring* rings = <Ring*>calloc(<size_t>mask + 1, sizeof(Ring))
    if rings == NULL:
        return 0
    for i in range(ring.mask + 1):
        if ring.rings[i].high or ring.rings[i].low:
            _place(rings, mask, ring.rings[i].high, ring.rings[i].low)[0] = ring.rings[i]
    free(ring.rings)
    ring.rings = rings
    ring.mask = mask
    return 1
