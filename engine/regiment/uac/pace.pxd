# The rate that a target was found to grant: none until it refuses.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from regiment.uac.governor cimport Bucket

cdef enum:
    PACE_BINS = 64

cdef struct Pace:
    double rate                  # attempts a second; 0: none is learned
    double base                  # the rate right after the last refusal
    double proven                # the last rate that outlived its hold; 0: none
    double step                  # by what part the next second raises the rate
    double highest               # since the last proof, or the first refusal
    Bucket bucket
    int64_t refused_ns           # when the last refusal that counts came
    int64_t opens_ns             # nothing starts before; who started before it says nothing new
    int64_t hold_ns, hold_until_ns
    int64_t raised_ns            # up to here the rate was raised
    int64_t bin_ends_ns
    uint32_t bins[PACE_BINS]     # served, by eighths of a second
    uint32_t bin                 # the present one
    uint32_t served              # since the last refusal
    uint32_t burst               # so many were once granted at a stroke
    uint32_t refusals            # that counted, in all
    uint32_t unproven            # of them in a row within the hold
    uint32_t tried, lost         # served and refused since those began
    uint32_t heard, heard_refused                # endings of this round, and refusals among them
    double background            # the part that is refused whatever the rate; 0: none is known
    int64_t background_until_ns
    bint coarse                  # refused once: the rate is a guess that doubles each second
    bint measuring               # the guess waits for what is granted while the gate is shut

# An attempt ended, and not because there were too many.
cdef void pace_served(Pace* pace, int64_t now_ns) noexcept nogil
# An attempt that started at `started_ns` was refused; nobody may start before `opens_ns`. False: it
# says nothing new, since it is a child of the time before the last refusal.
cdef bint pace_refused(Pace* pace, int64_t started_ns, int64_t opens_ns,
                       int64_t now_ns) noexcept nogil
# Whether one more may start; `pace_spend` when it does.
cdef bint pace_open(Pace* pace, int64_t now_ns) noexcept nogil
cdef void pace_spend(Pace* pace, int64_t now_ns) noexcept nogil
# When to come back after a refused `pace_open`.
cdef int64_t pace_ready_ns(const Pace* pace) noexcept nogil
