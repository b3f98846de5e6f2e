# cython: cdivision=True
"""How many attempts may be outstanding at a target, found out from what becomes of them.

A registrar that is overwhelmed answers late; what is late is sent again (Timer E), so it gets more
to do, and in the end it answers nobody in time. A rate does not help, for nobody knows it: what
bounds the harm is the number of attempts that are under way at once.

At any time so many may be as a registrar finishes in half of Timer T1, for each transaction, or in
twice its best time of late, if that is longer: more would only wait in its queue until they are
sent again. That number follows what is finished, doubles with each round trip from a first few
hundred on, and so slows down nobody who keeps up. Who was sent three times and more is not counted:
he may be a black hole, and many of them must not stand in the way of the rest.

Besides there is a **window**, and none until

* a 503 taught the pace something, or
* of a **round** of endings one in twenty were time-outs, and at least two, so that one black hole
  among the addresses-of-record throttles nobody; or half took longer than Timer T1 and twice the
  best time of late, so that a registrar that is merely far away throttles nobody.

Then the window is 0.7 of what was outstanding; endings of attempts that were under way meanwhile
say nothing. A good round in which somebody had to wait for the window makes it larger by one, or
by a thirty-second part. It is given up ten minutes after the last cut, unless somebody waits; and
at once, for ten minutes, if it was cut to a sixteenth and the same part is lost all the same: then
the number is not what matters.
"""

from libc.string cimport memset

cdef int64_t NS_PER_S = 1_000_000_000
cdef int64_t FORGET_NS = 600 * NS_PER_S
cdef double CUT = 0.7
cdef double GROWTH = 1.0 / 32.0
cdef double LEAST = 16.0                      # a window is never smaller by its own doing
cdef double FAR_BELOW = 16.0
cdef double HOPELESS = 0.5                    # so bad a round is no accident, however small

cdef enum:
    FIRST = 256                  # attempts that may be under way at a target that was idle
    ROUND_LEAST = 20
    ROUND_MAX = 256


cdef bint window_open(Window* window) noexcept nogil:
    if window.limit and window.outstanding >= window.limit:
        return False
    if window.outstanding - window.overdue >= FIRST and window.outstanding - window.overdue >= max(
            window.finished, window.finished_before):
        return False
    if window.size > 0 and window.outstanding >= <uint32_t>window.size:
        window.pressed = True
        return False
    return True


cdef void window_enter(Window* window) noexcept nogil:
    window.outstanding += 1
    if window.outstanding > window.peak:
        window.peak = window.outstanding


cdef uint32_t window_limit(const Window* window) noexcept nogil:
    cdef uint32_t size = <uint32_t>window.size
    if window.limit and (size == 0 or window.limit < size):
        return window.limit
    return size


cdef void _next_round(Window* window) noexcept nogil:
    window.ended = window.timed_out = window.slow = 0
    window.peak = window.outstanding
    window.pressed = False


cdef void _cut(Window* window, double share, int64_t now_ns) noexcept nogil:
    cdef double size = window.peak
    if window.size > 0 and window.size < size:
        size = window.size
    if window.size == 0:
        window.first_size, window.first_share = size, share
    elif size * FAR_BELOW <= window.first_size and share < HOPELESS and (
            share * 2 >= window.first_share):
        window.size = 0
        window.deaf_until_ns = now_ns + FORGET_NS
        return
    window.size = max(size * CUT, LEAST)
    window.cut_ns = now_ns
    window.spared = window.outstanding
    window.quickest_until_ns = 0


cdef void _judge(Window* window, int64_t now_ns) noexcept nogil:
    """A round has ended."""
    cdef double share = <double>max(window.timed_out, window.slow) / window.ended
    cdef bint lost = window.timed_out >= 2 and window.timed_out * 20 >= window.ended
    if now_ns < window.deaf_until_ns:
        pass
    elif lost or window.slow * 2 >= window.ended:
        _cut(window, share, now_ns)
    elif window.pressed:
        window.size += max(1.0, window.size * GROWTH)
    elif window.size > 0 and now_ns - window.cut_ns > FORGET_NS:
        window.size = 0
    _next_round(window)


cdef inline void _finish(Window* window, int64_t patience_ns, int64_t now_ns) noexcept nogil:
    cdef int64_t span_ns
    if now_ns >= window.span_ends_ns:
        span_ns = min(max(patience_ns // 2, 2 * window.quickest_ns), 4 * patience_ns)
        window.finished_before = window.finished if (
            now_ns < window.span_ends_ns + span_ns) else 0
        window.finished = 0
        window.span_ends_ns = now_ns + span_ns
    window.finished += 1


cdef void window_leave(Window* window, int ending, int64_t took_ns, int64_t patience_ns,
                       int64_t now_ns) noexcept nogil:
    cdef uint32_t length
    window.outstanding -= 1
    if ending == E_ANSWERED:
        if took_ns < window.quickest_ns or now_ns >= window.quickest_until_ns:
            window.quickest_ns = took_ns
            window.quickest_until_ns = now_ns + FORGET_NS
    _finish(window, patience_ns, now_ns)
    if window.spared:
        window.spared -= 1
        return
    window.ended += 1
    if ending == E_TIMED_OUT:
        window.timed_out += 1
    elif ending == E_ANSWERED and took_ns > patience_ns and took_ns > 2 * window.quickest_ns:
        window.slow += 1
    length = min(max(window.peak, <uint32_t>ROUND_LEAST), <uint32_t>ROUND_MAX)
    if window.ended >= length:
        _judge(window, now_ns)


cdef void window_refused(Window* window, int64_t now_ns) noexcept nogil:
    if window.spared == 0 and now_ns >= window.deaf_until_ns:
        _cut(window, 1.0, now_ns)
        _next_round(window)


cdef class Guard:
    """One `Window`, for tests."""

    cdef Window window

    def __init__(self, limit=0):
        memset(&self.window, 0, sizeof(Window))
        self.window.limit = limit

    def enter(self):
        if not window_open(&self.window):
            return False
        window_enter(&self.window)
        return True

    def leave(self, ending, int64_t took_ns, int64_t now_ns, int64_t patience_ns=500_000_000):
        window_leave(&self.window, ("answered", "timed_out", "refused").index(ending), took_ns,
                     patience_ns, now_ns)

    def overdue(self):
        self.window.overdue += 1

    def refused(self, int64_t now_ns):
        window_refused(&self.window, now_ns)

    @property
    def outstanding(self):
        return self.window.outstanding

    @property
    def size(self):
        return self.window.size

    @property
    def limit(self):
        return window_limit(&self.window)
