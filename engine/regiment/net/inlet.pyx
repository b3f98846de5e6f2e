# cython: boundscheck=False, wraparound=False
"""Where what was read from a connection becomes messages in an inbox: see inlet.pyi."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint32_t

from regiment.datagram cimport NO_SOCKET, Batch, Datagram, peer_from_bytes, peer_to_bytes
from regiment.sip.framer cimport Framer

from regiment.errors import LocalError


cdef class Inlet(Framer):

    def __cinit__(self, uint32_t flow, bytes peer not None):
        peer_from_bytes(&self.peer, peer)
        self.flow = flow

    def fill(self, data, uint32_t length, Batch inbox not None, int64_t now_ns, uint32_t at=0):
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if length > view.len or at > length:
                raise LocalError(f"there are {view.len} bytes, not {max(length, at)}")
            return at + self.lay(<const char*>view.buf + at, length - at, inbox, now_ns)
        finally:
            PyBuffer_Release(&view)

    @property
    def peer_address(self):
        return peer_to_bytes(&self.peer)

    cdef uint32_t lay(self, const char* data, uint32_t length, Batch inbox,
                      int64_t now_ns) noexcept nogil:
        cdef uint32_t at = 0, message_bytes = 0
        cdef const char* message
        cdef Datagram* item
        self.free_spent()
        while at < length and inbox.count < inbox.capacity:
            at += self.take(data + at, length - at, &message, &message_bytes)
            if message == NULL:
                break
            item = &inbox.items[inbox.count]
            item.data = <char*>message
            item.length = message_bytes
            item.socket = NO_SOCKET
            item.flags = 0
            item.flow = self.flow
            item.time_ns = now_ns
            item.peer = self.peer
            inbox.count += 1
        return at
