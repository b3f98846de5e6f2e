# Where what was read from a connection becomes messages in an inbox.
from libc.stdint cimport int64_t, uint32_t

from regiment.datagram cimport Batch, Peer
from regiment.sip.framer cimport Framer


cdef class Inlet(Framer):
    # Lifetime: an item of the inbox points either into the `data` of the very `lay` that laid it
    # or into this object (a message that came in several reads). It holds as long as the caller
    # leaves `data` alone, and no longer than to the next `lay` or `release`.
    cdef uint32_t flow
    cdef Peer peer

    # Takes data[:length] in and lays each whole message into `inbox`. Returns how much it took:
    # all, unless the inbox is full (then it is called again with the rest).
    cdef uint32_t lay(self, const char* data, uint32_t length, Batch inbox,
                      int64_t now_ns) noexcept nogil
