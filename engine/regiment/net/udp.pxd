# UDP sockets in batches: recvmmsg, sendmmsg, UDP_SEGMENT, UDP_GRO.
cimport cython
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from regiment.datagram cimport Batch


@cython.final
cdef class Socket:
    cdef readonly int fd                  # to be watched; not the socket itself (see udp.pyi)
    cdef readonly tuple address           # (host, port) as bound
    cdef readonly uint32_t receive_buffer_bytes
    cdef readonly uint32_t send_buffer_bytes
    cdef readonly bint blocked            # the last send met a full buffer
    cdef readonly uint64_t received, sent, syscalls, overflow_drops, truncated
    cdef readonly uint64_t send_errors, oversized, pending_errors
    cdef readonly uint64_t gso_runs, gso_sent, gso_refused
    cdef readonly uint64_t gro_runs, gro_received
    cdef readonly int cos                 # SO_PRIORITY as the kernel has it
    cdef readonly bint segment            # UDP_SEGMENT is in use
    cdef readonly bint coalesce           # UDP_GRO is in use
    cdef int handle                       # the socket; -1: closed
    cdef uint32_t segment_limit           # longest datagram that goes into a run
    cdef uint32_t drops_seen              # the kernel's count, which wraps
    cdef object socket, poll
