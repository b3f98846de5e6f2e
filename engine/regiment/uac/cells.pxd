# The scoreboard cells that this core writes, looked up once.
from libc.stdint cimport uint64_t
from regiment.metrics.scoreboard cimport Scoreboard

cdef enum:
    ROWS = 51
    GROUP_ROWS = 33
    ENDPOINT_ROWS = 33
    NO_GROUP = 33              # the row of those that name no group: cells of no board
    METHODS = 15

cdef struct Row:
    uint64_t* states           # by State
    uint64_t* attempts[4]      # by Kind, then by Outcome
    uint64_t* expiring         # 4 horizons
    uint64_t* expired
    uint64_t* icmp

cdef class Cells:
    cdef Scoreboard board
    cdef Row rows[ROWS]
    cdef uint64_t* requests_sent[3]    # by transport
    cdef uint64_t* responses           # by status - 100, to REGISTER
    cdef uint64_t* retransmissions
    cdef uint64_t* transitions[8]      # by State, then by State
    cdef uint64_t* groups[GROUP_ROWS + 1]    # by State
    cdef uint64_t ungrouped[8]
    cdef uint64_t* duration[3]         # histograms by Kind, un-REGISTER left out
    cdef uint64_t* response[3]
    cdef uint64_t* transaction[5]      # histograms by code class, 2xx first
    cdef uint64_t* schedule_delay
    cdef uint64_t* challenges          # by Answer
    cdef uint64_t* reuse_accepted
    cdef uint64_t* reuse_challenged
    cdef uint64_t* reuse_refused
    cdef uint64_t* reuse_disabled
    cdef uint64_t* discarded           # by ScanError - 1
    cdef uint64_t* stray
    cdef uint64_t* branch_salt
    cdef uint64_t* wrong_cseq
    cdef uint64_t* retransmitted
    cdef uint64_t* inbound_limit
    cdef uint64_t* gated
    cdef uint64_t* governor_refusals
    cdef uint64_t* min_expires_learned
    cdef uint64_t* cseq_high
    cdef uint64_t* inbound[ENDPOINT_ROWS]    # by Method
    cdef uint64_t* requests_answered[METHODS]        # by transport
    cdef uint64_t* answered[3]         # responses sent by method group, by status - 100
    cdef int _take_row(self, int row) except -1
    cdef int _take_wire(self) except -1
    cdef int _take_rest(self) except -1
