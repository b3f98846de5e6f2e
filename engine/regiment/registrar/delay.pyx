# cython: boundscheck=False, wraparound=False
"""The delay line: answers that a scripted fault holds back, on a timer wheel of their own.

While an answer waits, a retransmission of its request is absorbed, as a server transaction in the
state Trying does (RFC 3261 section 17.2.2). This is the slow path: it may allocate.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

from regiment.datagram cimport Batch, Datagram
from regiment.timing.wheel cimport Wheel

cdef enum:
    NOWHERE = 0xffffffff
    TICK_NS = 1_000_000


cdef class DelayLine:
    def __init__(self, uint32_t limit=262_144):
        self.limit = limit
        self.free_head = NOWHERE
        self.wheel = Wheel()
        self.transactions = {}

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.capacity):
            free(self.waiting[i].data)
        free(self.waiting)

    def __len__(self):
        return self.count

    cdef bint put(self, const char* data, uint32_t length, const Datagram* item,
                  uint64_t transaction, int64_t due_ns) except -1:
        cdef Waiting* place
        cdef uint32_t number
        if self.count >= self.limit:
            return 0
        if self.free_head == NOWHERE:
            _widen(self)
        number = self.free_head
        place = &self.waiting[number]
        place.data = <char*>malloc(length)
        if place.data == NULL:
            raise MemoryError
        self.free_head = place.next_free
        memcpy(place.data, data, length)
        place.length = length
        place.peer = item.peer
        place.socket = item.socket
        place.flow = item.flow
        place.transaction = transaction
        self.count += 1
        self.transactions[transaction] = number
        self.wheel.arm(number, due_ns)
        return 1

    cdef bint holds(self, uint64_t transaction) except -1:
        return self.count and transaction in self.transactions

    cdef int release(self, int64_t now_ns, Batch queue) except -1:
        cdef uint32_t[64] fired
        cdef uint32_t count = 64, i
        while count == 64:
            count = self.wheel.expire(now_ns, fired, 64)
            for i in range(count):
                if not _leave(self, fired[i], queue):
                    self.wheel.arm(fired[i], now_ns + TICK_NS)
        return 0


cdef bint _leave(DelayLine self, uint32_t number, Batch queue) except -1:
    cdef Waiting* place = &self.waiting[number]
    cdef char* room = queue.reserve(place.length)
    if room == NULL:
        return 0
    memcpy(room, place.data, place.length)
    queue.commit(place.length, &place.peer, place.socket)
    queue.items[queue.count - 1].flow = place.flow
    self.transactions.pop(place.transaction, None)
    free(place.data)
    place.data = NULL
    place.next_free = self.free_head
    self.free_head = number
    self.count -= 1
    return 1


cdef int _widen(DelayLine self) except -1:
    cdef uint32_t capacity = max(<uint32_t>256, self.capacity * 2), i
    cdef Waiting* waiting
    self.wheel.resize(capacity)
    waiting = <Waiting*>realloc(self.waiting, <size_t>capacity * sizeof(Waiting))
    if waiting == NULL:
        raise MemoryError
    self.waiting = waiting
    memset(&waiting[self.capacity], 0, (capacity - self.capacity) * sizeof(Waiting))
    for i in range(self.capacity, capacity):
        waiting[i].next_free = self.free_head
        self.free_head = i
    self.capacity = capacity
    return 0
