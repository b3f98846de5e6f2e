"""The governor: how many attempts a second a target gets, and who goes first.

A bucket is kept as one number, the theoretical arrival time of the generic cell rate algorithm:
an attempt may start while that time is at most `tolerance_ns` ahead of now, and moves it on by one
interval. An idle bucket saves up nothing beyond the tolerance.
"""

from libc.stdlib cimport free, realloc

cdef int64_t BURST_NS = 10_000_000
cdef uint64_t AFTER_REFRESHES = <uint64_t>1 << 63


cdef void bucket_set_rate(Bucket* bucket, double rate) noexcept nogil:
    """`rate` in attempts a second; 0 or less: no limit. Bursts are of 10 ms worth, at least one."""
    if rate <= 0:
        bucket.interval_ns = 0
        return
    bucket.interval_ns = <int64_t>(1e9 / rate) if rate > 1e-6 else <int64_t>1e15
    if bucket.interval_ns < 1:
        bucket.interval_ns = 1
    bucket.tolerance_ns = BURST_NS - bucket.interval_ns if bucket.interval_ns < BURST_NS else 0


cdef bint bucket_take(Bucket* bucket, int64_t now_ns) noexcept nogil:
    if bucket.interval_ns == 0:
        return True
    if bucket.theoretical_ns > now_ns + bucket.tolerance_ns:
        return False
    if bucket.theoretical_ns < now_ns:
        bucket.theoretical_ns = now_ns
    bucket.theoretical_ns += bucket.interval_ns
    return True


cdef int64_t bucket_ready_ns(const Bucket* bucket) noexcept nogil:
    return bucket.theoretical_ns


cdef class Queue:
    """Registrations (by slot) that are due and wait for their target."""

    def __dealloc__(self):
        free(self.items)

    cdef int push(self, uint32_t slot, int64_t expires_ns) except -1:
        cdef uint32_t at, above, capacity
        cdef Waiting* items
        cdef uint64_t key
        if self.count == self.capacity:
            capacity = self.capacity * 2 if self.capacity else 8
            items = <Waiting*>realloc(self.items, capacity * sizeof(Waiting))
            if items == NULL:
                raise MemoryError
            self.items, self.capacity = items, capacity
        self.arrivals += 1
        key = <uint64_t>expires_ns if expires_ns > 0 else AFTER_REFRESHES | self.arrivals
        at = self.count
        self.count += 1
        while at:
            above = (at - 1) // 2
            if self.items[above].key <= key:
                break
            self.items[at] = self.items[above]
            at = above
        self.items[at].key = key
        self.items[at].slot = slot
        return 0

    cdef int64_t pop(self) noexcept nogil:
        cdef uint32_t slot, at = 0, below
        cdef Waiting last
        if self.count == 0:
            return -1
        slot = self.items[0].slot
        self.count -= 1
        last = self.items[self.count]
        while True:
            below = 2 * at + 1
            if below >= self.count:
                break
            if below + 1 < self.count and self.items[below + 1].key < self.items[below].key:
                below += 1
            if last.key <= self.items[below].key:
                break
            self.items[at] = self.items[below]
            at = below
        self.items[at] = last
        return slot

    def __len__(self):
        return self.count


def order(entries):
    """The slots of ``(slot, expires_ns or 0)`` entries in the order in which they go, for tests."""
    queue = Queue()
    for slot, expires_ns in entries:
        queue.push(slot, expires_ns)
    cdef int64_t slot_out
    result = []
    while True:
        slot_out = queue.pop()
        if slot_out < 0:
            return result
        result.append(slot_out)


def starts(rate, demands_ns):
    """At which of the moments `demands_ns` (rising) a bucket of `rate`/s lets an attempt go."""
    cdef Bucket bucket
    cdef int64_t moment
    bucket.theoretical_ns = 0
    bucket.tolerance_ns = 0
    bucket_set_rate(&bucket, rate)
    return [moment for moment in demands_ns if bucket_take(&bucket, moment)]
