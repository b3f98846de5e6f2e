# What a final result means: the table of intervals and classes, as a pure function.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

# Numbers are indices into the tuples of the same name in model.py.
cdef enum State:
    S_UNREGISTERED = 0
    S_REGISTERING
    S_REGISTERED
    S_REFRESHING
    S_WAITING
    S_REJECTED
    S_UNREGISTERING

cdef enum FailureClass:
    F_NONE = 0
    F_TRANSIENT
    F_THROTTLED
    F_CREDENTIALS
    F_POLICY
    F_PROTOCOL
    F_TRANSPORT
    F_CONFIGURATION

cdef enum Outcome:
    O_SUCCESS = 0
    O_TIMEOUT
    O_REJECTED
    O_THROTTLED
    O_AUTH_FAILED
    O_TRANSPORT_ERROR
    O_DNS_ERROR

cdef enum Kind:
    K_INITIAL = 0
    K_REFRESH
    K_RETRY
    K_UNREGISTER

# How a result came about, where the code alone does not tell.
cdef enum Cause:
    C_RESPONSE = 0
    C_TIMEOUT              # no final response within timer_b: 408
    C_TRANSPORT            # ICMP, send error: 503
    C_NO_ADDRESS           # the name has no address: 503
    C_WRONG_FAMILY         # the literal address is of a family that the transport lacks: 503
    C_UNREADABLE           # a 2xx that cannot be understood, or that granted nothing

cdef struct Rules:
    uint32_t expiration_s, max_random_initial_delay_s
    uint32_t retry_interval_s, forbidden_retry_interval_s, fatal_retry_interval_s, max_retries
    uint32_t probe_interval_s                    # 0: a rejected one is left alone
    bint auth_rejection_permanent, nonce_reuse
    uint32_t timer_t1_ms, timer_b_ms
    double refresh_jitter, retry_jitter          # per cent

cdef struct Result:
    uint16_t code
    uint8_t cause
    int64_t retry_after_s                        # -1 or 0: none

cdef struct Verdict:
    bint waits                # False: rejected, no timer
    bint counted              # retries + 1
    int64_t wait_s            # before jitter
    uint8_t failure_class, outcome

cdef enum:
    RETRY_AFTER_CAP_S = 3600
    PROBE_CREDENTIALS_S = 3600                   # a wrong password is offered no more often
    ROUNDS_MAX = 4            # challenges answered in one attempt; so many resends after 423 too
    MIN_EXPIRES_FALLBACK_S = 3601

cdef bint is_temporary(const Rules* rules, int code) noexcept nogil
cdef void decide(const Rules* rules, uint32_t retries, const Result* result,
                 Verdict* verdict) noexcept nogil
# after how long a rejected registration is tried again all the same, before jitter; 0: never
cdef int64_t probe_wait_s(const Rules* rules, int failure_class) noexcept nogil
# [earliest, latest] nanoseconds after a 2xx that granted `granted_s` at which the refresh is due
cdef void refresh_window_ns(const Rules* rules, uint32_t granted_s,
                            int64_t* earliest_ns, int64_t* latest_ns) noexcept nogil
