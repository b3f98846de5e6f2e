# cython: boundscheck=False, wraparound=False
"""An outbox's messages for connections: see outlet.pyi."""

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint32_t

from regiment.datagram cimport Batch, Datagram


def runs(Batch outbox not None):
    cdef list found = []
    cdef uint32_t at = outbox.cursor, datagrams = 0, flow
    cdef Datagram* item
    cdef char* start
    cdef char* end
    while at < outbox.count:
        item = &outbox.items[at]
        flow = item.flow
        if flow == 0:
            datagrams += 1
            at += 1
            continue
        start = end = item.data
        while at < outbox.count and item.flow == flow and item.data == end:
            end += item.length
            at += 1
            item += 1
        found.append((flow, PyMemoryView_FromMemory(start, end - start, PyBUF_READ)))
    return found, datagrams
