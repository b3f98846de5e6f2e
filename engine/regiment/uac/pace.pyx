# cython: cdivision=True
"""The rate that a registrar grants, found out from what it refuses.

A registrar that is asked for more than it grants says 503, nearly always with Retry-After, and with
that takes a whole second or more from everybody. So nothing is limited until the first refusal, and
from then on the rate is kept a little below what was granted:

* The **first refusal** comes whenever it comes, perhaps after 10 ms. What was granted in the second
  before it, or while the gate was shut, is where to begin; it doubles each second until
* the **second refusal**, which comes at a rate that is known: it lies between what was granted
  since the last refusal, the shut gate included (true, if a bucket of the registrar's filled up
  meanwhile), and the rate at which it was refused (true, if it has no such bucket).
* The rate then **holds**, and is **raised** afterwards while somebody waits for it: by 1 % in the
  first second, by a fifth more in each next one, at most by 10 %. A refusal after the hold proves
  the rate that outlived it, and the next hold is twice as long; one within it refutes the rate.
* Raised to eight times what was learned without a refusal, it doubles each second, and at 64 times
  it is **given up**.
* Some registrars say 503 to certain addresses-of-record, or now and then, whatever the rate. A rate
  that fell to a sixteenth and is refused within its hold all the same has shown that: it is given
  up, and for an hour only a round in which clearly more is refused than was then teaches again.
"""

from libc.math cimport pow, sqrt

from regiment.uac.governor cimport bucket_set_rate

cdef int64_t NS_PER_S = 1_000_000_000
cdef int64_t BIN_NS = NS_PER_S // 8
cdef int64_t RAISE_NS = NS_PER_S // 10        # the rate is raised in steps of this length
cdef int64_t HOLD_NS = 4 * NS_PER_S           # at first, and again after a refusal within it
cdef int64_t HOLD_MAX_NS = 60 * NS_PER_S
cdef int64_t SLACK_NS = 4_000_000             # a busy worker starts what is due every 2 ms
cdef int64_t SLACK_LEAST_NS = 2_000_000

cdef double BELOW = 0.97                      # of what was granted
cdef double STEP = 0.01
cdef double STEP_GROWTH = 1.2                 # a second
cdef double STEP_MAX = 0.1
cdef double LEAST = 1.0                       # attempts a second: a lone registration never waits
cdef double ABOVE = 8.0                       # times what was learned: now it doubles each second
cdef double FAR_ABOVE = 64.0                  # there is no limit any more
cdef double FAR_BELOW = 16.0
cdef int64_t PAUSE_NS = NS_PER_S              # for a registrar that asked for none
cdef int64_t BACKGROUND_NS = 3600 * NS_PER_S
cdef double BACKGROUND_MOST = 0.5

cdef enum:
    BINS_PER_S = 8
    ROUND = 64                                # endings
    ROUND_SPARE = 4                           # so many refusals more than expected are an accident
    UNPROVEN_MOST = 4


cdef void _roll(Pace* pace, int64_t now_ns) noexcept nogil:
    """Moves on to the bin of this moment."""
    cdef int64_t passed = (now_ns - pace.bin_ends_ns) // BIN_NS + 1
    cdef int64_t _at
    pace.bin_ends_ns += passed * BIN_NS
    for _at in range(min(passed, <int64_t>PACE_BINS)):
        pace.bin = (pace.bin + 1) % PACE_BINS
        pace.bins[pace.bin] = 0


cdef void pace_served(Pace* pace, int64_t now_ns) noexcept nogil:
    if now_ns >= pace.bin_ends_ns:
        _roll(pace, now_ns)
    pace.bins[pace.bin] += 1
    pace.served += 1
    pace.tried += 1
    pace.heard += 1
    if pace.heard >= ROUND:
        pace.heard = pace.heard_refused = 0


cdef uint32_t _served_in(const Pace* pace, uint32_t bins, uint32_t back) noexcept nogil:
    """What so many bins hold that end `back` bins before the next one."""
    cdef uint32_t at, total = 0
    for at in range(bins):
        total += pace.bins[(pace.bin + PACE_BINS - back - at) % PACE_BINS]
    return total


cdef double _recent(const Pace* pace, int64_t open_ns) noexcept nogil:
    """What was certainly granted a second since the gate opened: the best of several spans, each
    without what a bucket of the registrar's may have had in store."""
    cdef uint32_t bins = BINS_PER_S // 2, served
    cdef double best = 0.0
    while bins <= 4 * BINS_PER_S and (bins + 1) * BIN_NS <= open_ns:
        served = _served_in(pace, bins, 1)
        if served > pace.burst:
            best = max(best, <double>(served - pace.burst) * BINS_PER_S / bins)
        bins *= 2
    return best


cdef void _set_rate(Pace* pace, double rate) noexcept nogil:
    pace.rate = max(rate, LEAST)
    bucket_set_rate(&pace.bucket, pace.rate)
    pace.bucket.tolerance_ns = max(SLACK_NS - pace.bucket.interval_ns, SLACK_LEAST_NS)


cdef void _guess(Pace* pace) noexcept nogil:
    """After the first refusal; what was under way then has been answered meanwhile."""
    cdef int at
    cdef uint32_t most = 0
    cdef double before = pace.base                # granted in the second before the refusal
    cdef double shut_s = max(<double>(pace.opens_ns - pace.refused_ns) / NS_PER_S, 1.0)
    pace.measuring = False
    for at in range(PACE_BINS):
        most = max(most, pace.bins[at])
    pace.burst = <uint32_t>max(most + pace.served - before / BINS_PER_S, 0.0)
    _set_rate(pace, BELOW * max(before, pace.served / shut_s, 1.0))
    pace.base = pace.highest = pace.rate


cdef double _refuted(Pace* pace, bint proves, int64_t now_ns) noexcept nogil:
    """What is granted, now that the present rate was refused."""
    cdef int64_t open_ns = now_ns - pace.opens_ns
    cdef double rate = pace.rate, least
    cdef double found = pace.served * <double>NS_PER_S / max(now_ns - pace.refused_ns, BIN_NS)
    cdef bint at_once = open_ns < 2 * (pace.opens_ns - pace.refused_ns)
    if not at_once:
        found = max(found, _recent(pace, open_ns))
    if proves:
        pace.proven = pace.base
    elif pace.proven >= 0.99 * rate:
        pace.proven = 0.0                         # what was right once is so no longer
    least = pace.proven if pace.proven > 0 else rate / 2
    found = min(max(found, least), rate)
    if proves or pace.coarse:
        found = (found + rate) / 2
    elif pace.proven > 0:
        found = max(found, (pace.proven + rate) / 2)
    return max(found * BELOW, pace.proven)


cdef void _give_up(Pace* pace) noexcept nogil:
    pace.rate = pace.base = pace.proven = 0.0
    pace.coarse = pace.measuring = False
    pace.opens_ns = 0


cdef bint _is_usual(Pace* pace, int64_t now_ns) noexcept nogil:
    """No more is refused than at any rate."""
    pace.heard += 1
    pace.heard_refused += 1
    if pace.background == 0 or now_ns >= pace.background_until_ns:
        return False
    return pace.heard_refused <= ROUND_SPARE + ROUND * pace.background + 4 * sqrt(
        ROUND * pace.background * (1 - pace.background))


cdef bint _is_no_limit(Pace* pace, bint proves, int64_t now_ns) noexcept nogil:
    """The rate fell far, and is refused all the same: it is not what is minded."""
    if proves:
        pace.unproven = pace.tried = pace.lost = 0
        pace.highest = pace.base
        return False
    pace.unproven += 1
    if pace.unproven < UNPROVEN_MOST or pace.rate * FAR_BELOW > pace.highest:
        return False
    pace.background = min(pace.lost / <double>(pace.lost + pace.tried), BACKGROUND_MOST)
    pace.background_until_ns = now_ns + BACKGROUND_NS
    return True


cdef bint pace_refused(Pace* pace, int64_t started_ns, int64_t opens_ns,
                       int64_t now_ns) noexcept nogil:
    cdef bint is_first = pace.rate == 0, proves = False
    pace.lost += 1
    if started_ns < pace.opens_ns or _is_usual(pace, now_ns):
        return False
    if now_ns >= pace.bin_ends_ns:
        _roll(pace, now_ns)
    pace.refusals += 1
    pace.background = 0
    if is_first:
        pace.base = _served_in(pace, BINS_PER_S + 1, 0)
        _set_rate(pace, BELOW * pace.base)
        pace.highest = pace.rate
        pace.unproven = pace.tried = pace.lost = 0
        pace.hold_ns = HOLD_NS
    else:
        proves = now_ns > pace.hold_until_ns and not pace.coarse
        if _is_no_limit(pace, proves, now_ns):
            _give_up(pace)
            pace.heard = pace.heard_refused = 0
            return True
        _set_rate(pace, _refuted(pace, proves, now_ns))
        pace.base = pace.rate
        pace.hold_ns = min(2 * pace.hold_ns, HOLD_MAX_NS) if proves else HOLD_NS
    pace.coarse = pace.measuring = is_first
    pace.opens_ns = opens_ns if opens_ns > now_ns else now_ns + PAUSE_NS
    pace.heard = pace.heard_refused = 0
    pace.refused_ns = now_ns
    pace.hold_until_ns = pace.raised_ns = pace.opens_ns + (0 if is_first else pace.hold_ns)
    pace.bucket.theoretical_ns = pace.opens_ns
    pace.step = STEP
    pace.served = 0
    return True


cdef void _raise(Pace* pace, int64_t now_ns) noexcept nogil:
    """Somebody waits: raises the rate for the time since it was raised last."""
    cdef int64_t passed_ns = now_ns - pace.raised_ns
    cdef double seconds = <double>passed_ns / NS_PER_S
    if now_ns < pace.hold_until_ns or 0 <= passed_ns < RAISE_NS:
        return
    pace.raised_ns = now_ns
    if passed_ns > max(NS_PER_S, 2 * pace.bucket.interval_ns):
        return                                    # nobody waited meanwhile, so nothing was tried
    if pace.rate >= pace.base * FAR_ABOVE:
        _give_up(pace)
    elif pace.coarse or pace.rate >= pace.base * ABOVE:
        _set_rate(pace, pace.rate * pow(2.0, seconds))
    else:
        _set_rate(pace, pace.rate * pow(1.0 + pace.step, seconds))
        pace.step = min(pace.step * pow(STEP_GROWTH, seconds), STEP_MAX)


cdef bint pace_open(Pace* pace, int64_t now_ns) noexcept nogil:
    if pace.rate == 0:
        return True
    if now_ns < pace.opens_ns:
        return False
    if pace.measuring:
        _guess(pace)
    if pace.bucket.theoretical_ns <= now_ns + pace.bucket.tolerance_ns:
        return True
    _raise(pace, now_ns)
    return pace.rate == 0 or pace.bucket.theoretical_ns <= now_ns + pace.bucket.tolerance_ns


cdef void pace_spend(Pace* pace, int64_t now_ns) noexcept nogil:
    if pace.rate > 0:
        pace.bucket.theoretical_ns = max(
            pace.bucket.theoretical_ns, now_ns) + pace.bucket.interval_ns


cdef int64_t pace_ready_ns(const Pace* pace) noexcept nogil:
    return max(pace.opens_ns, pace.bucket.theoretical_ns)


cdef class Learner:
    """One `Pace`, for tests."""

    cdef Pace pace

    def served(self, now_ns):
        pace_served(&self.pace, now_ns)

    def refused(self, started_ns, opens_ns, now_ns):
        return bool(pace_refused(&self.pace, started_ns, opens_ns, now_ns))

    def take(self, int64_t now_ns):
        if not pace_open(&self.pace, now_ns):
            return False
        pace_spend(&self.pace, now_ns)
        return True

    @property
    def rate(self):
        return self.pace.rate

    @property
    def refusals(self):
        return self.pace.refusals

    @property
    def ready_ns(self):
        return pace_ready_ns(&self.pace)
