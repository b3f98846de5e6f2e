# cython: boundscheck=False, wraparound=False, cdivision=True
"""A hierarchical timer wheel after Varghese and Lauck, indexed by absolute time.

A tick is a millisecond, written in base 64: level 0 holds the last digit, level 1 the one before,
and so on. A timer stands at the highest level at which its tick differs from the present one, in
the slot of its digit there. So whatever is at a lower level is earlier than anything at a higher
one, the slots in use lie ahead of the present digit, and the next moment with work is one
count-trailing-zeroes away. When the present reaches a slot of level n > 0, its timers cascade: they
differ lower down from now on.

Eight levels of six bits hold every positive int64 of nanoseconds (292 years), so there is no
overflow list and no wrap. A timer costs 16 bytes. Timers of one tick fire in the order in which
they were armed: all of them always stand in the same list, and lists are queues.
"""

from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memset

from regiment.errors import LocalError

cdef extern from *:
    int __builtin_ctzll(unsigned long long value) noexcept nogil
    int __builtin_clzll(unsigned long long value) noexcept nogil

cdef enum:
    TICK_NS = 1000000
    LEVELS = 8
    DUE = LEVELS * 64            # the list of what is due: fired before the present moves on
    LISTS = DUE + 1
    # Both ends of a list name it instead of a neighbour: a timer leaves its list in O(1).
    END = 0x80000000u
    MAX_TIMERS = 0x80000000u


cdef inline uint64_t _tick_of(int64_t time_ns) noexcept nogil:
    # Counted from 1, because a due_tick of 0 means "not armed". Rounds down.
    return 1 + <uint64_t>time_ns // TICK_NS if time_ns > 0 else 1


cdef inline int64_t _time_of(uint64_t tick) noexcept nogil:
    # The tick after the last whole millisecond of an int64 saturates.
    if tick - 1 > <uint64_t>INT64_MAX // TICK_NS:
        return INT64_MAX
    return <int64_t>(tick - 1) * TICK_NS


cdef inline void _append(Wheel wheel, uint32_t timer, uint32_t place) noexcept nogil:
    cdef uint32_t last = wheel.tails[place]
    wheel.next[timer] = END | place
    wheel.tails[place] = timer
    wheel.previous[timer] = last
    if last & END:
        wheel.heads[place] = timer
        if place < DUE:
            wheel.occupied[place >> 6] |= <uint64_t>1 << (place & 63)
    else:
        wheel.next[last] = timer


cdef inline void _remove(Wheel wheel, uint32_t timer) noexcept nogil:
    cdef uint32_t before = wheel.previous[timer], after = wheel.next[timer]
    cdef uint32_t place
    if before & END:
        wheel.heads[before ^ END] = after
    else:
        wheel.next[before] = after
    if after & END:
        place = after ^ END
        wheel.tails[place] = before
        if before & END and place < DUE:
            wheel.occupied[place >> 6] &= ~(<uint64_t>1 << (place & 63))
    else:
        wheel.previous[after] = before


cdef inline void _place(Wheel wheel, uint32_t timer, uint64_t tick) noexcept nogil:
    cdef uint32_t level
    if tick <= wheel.now_tick:
        _append(wheel, timer, DUE)
        return
    level = <uint32_t>(63 - __builtin_clzll(tick ^ wheel.now_tick)) // 6
    _append(wheel, timer, level * 64 + <uint32_t>((tick >> (6 * level)) & 63))


cdef inline uint64_t _next_tick(Wheel wheel, uint32_t* place) noexcept nogil:
    # The start of the earliest slot in use, and its list; 0: none.
    cdef uint32_t level, slot, shift
    for level in range(<uint32_t>LEVELS):
        if wheel.occupied[level]:
            slot = __builtin_ctzll(wheel.occupied[level])
            place[0] = level * 64 + slot
            shift = 6 * level
            return (wheel.now_tick >> (shift + 6) << 6 | slot) << shift
    return 0


cdef void _reach(Wheel wheel, uint64_t tick, uint32_t place) noexcept nogil:
    # The present becomes `tick`, the start of the slot `place`: its timers are due or cascade.
    cdef uint32_t timer = wheel.heads[place], after
    wheel.now_tick = tick
    wheel.heads[place] = wheel.tails[place] = END | place
    wheel.occupied[place >> 6] &= ~(<uint64_t>1 << (place & 63))
    while not timer & END:
        after = wheel.next[timer]
        _place(wheel, timer, wheel.due_tick[timer])
        timer = after


cdef class Wheel:

    def __cinit__(self):
        cdef uint32_t i
        self.heads = <uint32_t*>malloc(LISTS * sizeof(uint32_t))
        self.tails = <uint32_t*>malloc(LISTS * sizeof(uint32_t))
        self.occupied = <uint64_t*>calloc(LEVELS, sizeof(uint64_t))
        if self.heads == NULL or self.tails == NULL or self.occupied == NULL:
            raise MemoryError
        for i in range(<uint32_t>LISTS):
            self.heads[i] = self.tails[i] = END | i

    def __init__(self, uint32_t capacity=0):
        self.resize(capacity)

    def __dealloc__(self):
        free(self.due_tick)
        free(self.next)
        free(self.previous)
        free(self.heads)
        free(self.tails)
        free(self.occupied)

    cpdef int resize(self, uint32_t capacity) except -1:
        cdef void* memory
        if capacity <= self.capacity:
            return 0
        if capacity > MAX_TIMERS:
            raise LocalError("a wheel holds at most 2147483648 timers")
        # Each pointer is kept as soon as it is valid: a failure in between loses nothing.
        memory = realloc(self.due_tick, capacity * sizeof(uint64_t))
        if memory == NULL:
            raise MemoryError
        self.due_tick = <uint64_t*>memory
        memory = realloc(self.next, capacity * sizeof(uint32_t))
        if memory == NULL:
            raise MemoryError
        self.next = <uint32_t*>memory
        memory = realloc(self.previous, capacity * sizeof(uint32_t))
        if memory == NULL:
            raise MemoryError
        self.previous = <uint32_t*>memory
        memset(self.due_tick + self.capacity, 0, (capacity - self.capacity) * sizeof(uint64_t))
        self.capacity = capacity
        return 0

    cpdef void arm(self, uint32_t timer, int64_t due_ns) noexcept nogil:
        cdef uint64_t tick
        if timer >= self.capacity:
            return
        # Rounded up: a timer never fires early.
        tick = _tick_of(due_ns)
        if _time_of(tick) < due_ns:
            tick += 1
        if self.due_tick[timer]:
            _remove(self, timer)
        else:
            self.armed += 1
        self.due_tick[timer] = tick
        _place(self, timer, tick)

    cpdef void cancel(self, uint32_t timer) noexcept nogil:
        if timer < self.capacity and self.due_tick[timer]:
            _remove(self, timer)
            self.due_tick[timer] = 0
            self.armed -= 1

    cpdef bint is_armed(self, uint32_t timer) noexcept nogil:
        return timer < self.capacity and self.due_tick[timer] != 0

    cpdef int64_t due_ns(self, uint32_t timer) noexcept nogil:
        if timer >= self.capacity or self.due_tick[timer] == 0:
            return -1
        return _time_of(self.due_tick[timer])

    cdef uint32_t expire(self, int64_t now_ns, uint32_t* fired, uint32_t limit) noexcept nogil:
        cdef uint64_t target, tick
        cdef uint32_t count = 0, timer, place = 0
        target = _tick_of(now_ns) if now_ns >= 0 else 0
        while True:
            while not self.heads[DUE] & END:
                if count == limit:
                    return count
                timer = self.heads[DUE]
                _remove(self, timer)
                self.due_tick[timer] = 0
                self.armed -= 1
                fired[count] = timer
                count += 1
            tick = _next_tick(self, &place)
            if tick == 0 or tick > target:
                if target > self.now_tick:
                    self.now_tick = target
                return count
            _reach(self, tick, place)

    cpdef int64_t deadline_ns(self) noexcept nogil:
        cdef uint32_t place = 0
        cdef uint64_t tick
        if not self.heads[DUE] & END:
            return _time_of(self.now_tick)
        tick = _next_tick(self, &place)
        return _time_of(tick) if tick else -1

    def fire(self, int64_t now_ns, uint32_t limit=1024):
        cdef uint32_t* fired = <uint32_t*>malloc((limit or 1) * sizeof(uint32_t))
        cdef uint32_t i
        if fired == NULL:
            raise MemoryError
        try:
            return [fired[i] for i in range(self.expire(now_ns, fired, limit))]
        finally:
            free(fired)
