# The non-INVITE client transaction (RFC 3261 17.1.2, Figure 6) as a function of state and event.
from libc.stdint cimport int64_t, uint32_t

cdef enum TransactionState:
    TX_IDLE = 0            # no transaction yet
    TX_TRYING
    TX_PROCEEDING
    TX_COMPLETED
    TX_TERMINATED

cdef enum TransactionEvent:
    TX_REQUEST = 0         # the transaction user hands over a request
    TX_TIMER_E
    TX_TIMER_F
    TX_TIMER_K
    TX_1XX
    TX_FINAL               # 200-699
    TX_TRANSPORT_ERROR

cdef enum TransactionAction:
    DO_NOTHING = 0
    DO_SEND = 1            # (re)transmit the request
    DO_ARM_E = 2
    DO_ARM_F = 4
    DO_ARM_K = 8
    DO_PASS = 16           # hand the response to the transaction user
    DO_TIMEOUT = 32        # tell the transaction user: no answer
    DO_ERROR = 64          # tell the transaction user: transport error

cdef enum:
    T2_MS = 4000           # RFC 3261 Table 4
    T4_MS = 5000

# The new state; *actions is a set of TransactionAction.
cdef int transaction_advance(int state, int event, bint reliable, int* actions) noexcept nogil
# How long until Timer E fires next, after it has fired in `state`, when it was `timer_e_ms` before.
cdef uint32_t next_timer_e_ms(int state, uint32_t timer_e_ms) noexcept nogil
