# What hangs off a record only where there is something to keep: blocks of bytes, one of a kind.
from libc.stdint cimport uint32_t

cdef enum AnnexKind:
    ANNEX_SECURITY = 1         # security.pyx: the lines of Security-Verify
    ANNEX_AFFINITY             # affinity.pyx: what a registrar said of routes and identities
    ANNEX_REFUSAL              # outbound.pyx: until when no flow is asked for

cdef struct Annex:
    Annex* next
    uint32_t length
    uint32_t kind
    char data[1]

# The block of a kind; NULL: there is none.
cdef const Annex* annex_find(const Annex* head, int kind) noexcept nogil
# The block of that kind holds these bytes from now on (none: there is no such block). Equal ones
# are left where they are. Without memory for it there is none.
cdef void annex_put(Annex** head, int kind, const char* data, uint32_t length) noexcept nogil
cdef void annexes_free(Annex** head) noexcept nogil
