# How many attempts may be outstanding at a target: any number until it is overwhelmed.
from libc.stdint cimport int64_t, uint32_t

cdef enum Ending:
    E_ANSWERED = 0
    E_TIMED_OUT
    E_REFUSED              # judged by `window_refused`, if at all

cdef struct Window:
    uint32_t outstanding         # attempts that were started and have not ended
    uint32_t overdue             # of them those that were sent three times again
    uint32_t limit               # @max_outstanding; 0: none
    double size                  # what was learned; 0: nothing
    double first_size            # what it was after the first of several cuts
    double first_share           # the bad part of the round that led to it
    uint32_t peak                # the most outstanding since the last round ended
    uint32_t spared              # so many endings are still children of the time before the cut
    uint32_t ended, timed_out, slow              # in this round
    int64_t quickest_ns          # the best answer since the last cut or for some minutes
    int64_t quickest_until_ns
    int64_t cut_ns               # when it was cut last
    int64_t deaf_until_ns        # nothing is learned until then
    bint pressed                 # somebody had to wait for it in this round
    uint32_t finished, finished_before           # endings of this span, and of the one before
    int64_t span_ends_ns

# Whether one more may start. What is shut is opened by an ending, never by time alone.
cdef bint window_open(Window* window) noexcept nogil
cdef void window_enter(Window* window) noexcept nogil
# An attempt has ended after `took_ns`; `patience_ns`: its T1, once for each of its transactions.
cdef void window_leave(Window* window, int ending, int64_t took_ns, int64_t patience_ns,
                       int64_t now_ns) noexcept nogil
# A refusal that taught the pace something.
cdef void window_refused(Window* window, int64_t now_ns) noexcept nogil
# The number that holds: the smaller one of both; 0: none.
cdef uint32_t window_limit(const Window* window) noexcept nogil
