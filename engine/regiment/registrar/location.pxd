# The location service: bindings by AOR (RFC 3261 section 10).
cimport cython
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from regiment.timing.wheel cimport Wheel

cdef enum:
    NO_AOR = 0xffffffff

cdef struct Binding:             # one allocation: the text lies behind the struct
    Binding* next
    int64_t expires_ns
    uint64_t call_id             # keyed hash of the Call-ID
    uint64_t transaction         # of the request that set it last
    uint64_t flow_key            # outbound.flow_key; 0: it is known by its URI
    uint64_t nonce               # that its credentials were for, and the nc they had
    uint32_t nc
    uint32_t cseq
    uint16_t uri_length
    uint16_t parameters_length   # ";q=0.5…" as it was sent, without expires
    char text[4]

cdef struct Aor:
    uint64_t high, low           # keyed_hash_128 of the canonical AOR
    Binding* first               # in order of arrival
    uint64_t transaction         # the last one that was carried out, whatever it did
    uint64_t nonce
    uint32_t nc
    uint32_t bindings            # how many; of a free record: the next free one

cdef struct Place:               # of the index
    uint32_t tag
    uint32_t aor                 # 1 + number of the record; 0: free


@cython.final
cdef class Location:
    cdef Aor* aors
    cdef uint32_t capacity
    cdef uint32_t used           # records that were ever in use
    cdef uint32_t free_head      # NO_AOR: none
    cdef uint32_t held           # records in use
    cdef Place* places
    cdef uint32_t mask
    cdef Wheel wheel             # timer n: the first binding of record n to expire, or its end
    cdef int64_t keep_ns         # how long a record without bindings is remembered
    cdef uint32_t limit
    cdef uint64_t* cells         # counts.pxd

    # The record of an AOR, or NO_AOR.
    cdef uint32_t find(self, uint64_t high, uint64_t low) noexcept nogil
    # A new record (there must be none yet); NO_AOR: as many as may be are held, or no memory.
    cdef uint32_t open(self, uint64_t high, uint64_t low) except? 0xffffffff
    # Takes away what has expired by now; counts it.
    cdef void sweep(self, uint32_t aor, int64_t now_ns) noexcept nogil
    # The binding of one flow, or where `flow_key` is 0 of one URI (RFC 3261 section 19.1.4) among
    # those that are known by it; NULL: none.
    cdef Binding* binding(self, uint32_t aor, const char* uri, uint32_t length,
                          uint64_t flow_key) noexcept nogil
    # Adds a binding behind the others (`old` NULL) or gives an old one these texts; NULL: no
    # memory, and nothing changed. Counts it as added or refreshed. `old` is not valid any more.
    cdef Binding* put(self, uint32_t aor, Binding* old, const char* uri, uint32_t uri_length,
                      const char* parameters, uint32_t parameters_length) noexcept nogil
    cdef void remove(self, uint32_t aor, Binding* binding, int change) noexcept nogil
    # Arms the record's timer again; after every change of its bindings.
    cdef void settle(self, uint32_t aor, int64_t now_ns) noexcept nogil
    # Whether a binding of it lives.
    cdef bint is_bound(self, uint32_t aor, int64_t now_ns) noexcept nogil
    # Whether a request of that transaction was carried out and is still remembered.
    cdef bint knows(self, uint32_t aor, uint64_t transaction) noexcept nogil
    # Whether (nonce, nc) was used before, or a higher nc of that nonce.
    cdef bint is_replay(self, uint32_t aor, uint64_t nonce, uint32_t nc) noexcept nogil
    # Fires what is due; at most `limit` records a call.
    cdef void expire(self, int64_t now_ns, uint32_t limit) noexcept nogil
