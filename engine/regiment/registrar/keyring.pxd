# HA1 of every user who has proved to know the password.
cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef struct Ring:                # one user
    uint64_t high, low           # keyed_hash_128 of the name; both 0: a free place
    uint8_t algorithm            # response.Algorithm; 0: known without a hash
    uint8_t ha1[32]


@cython.final
cdef class Keyring:
    cdef Ring* rings             # open addressing, linear probing
    cdef uint32_t mask           # places - 1
    cdef uint32_t count
    cdef uint32_t limit          # users beyond it are not kept

    # The raw HA1 of a user for one algorithm, or NULL: not known.
    cdef const uint8_t* find(self, uint64_t high, uint64_t low, int algorithm) noexcept nogil
    # Keeps it (the user's last algorithm wins); NULL: the name alone. Forgets nothing but that.
    cdef void keep(self, uint64_t high, uint64_t low, int algorithm,
                   const uint8_t* ha1) noexcept nogil
