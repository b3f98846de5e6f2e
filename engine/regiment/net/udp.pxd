# UDP sockets in batches: recvmmsg, sendmmsg, UDP_SEGMENT.
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from regiment.datagram cimport Batch
