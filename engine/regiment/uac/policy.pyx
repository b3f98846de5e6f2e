"""What a final result means: wait how long, give up, of which class.

The intervals and classes of codes are Asterisk's (`retry_interval`, `forbidden_retry_interval`,
`fatal_retry_interval`, `max_retries`, `auth_rejection_permanent`, Retry-After first), so that a
pjsip.conf behaves as its owner expects. What was changed on purpose: Retry-After is capped, every
wait is lengthened by jitter (by the caller, from `retry_jitter`), refreshes are spread.
"""

cdef int64_t NS_PER_S = 1_000_000_000


cdef bint is_temporary(const Rules* rules, int code) noexcept nogil:
    if code == 408 or code == 500 or code == 502 or code == 503 or code == 504:
        return True
    if 600 <= code < 700:
        return True
    return (code == 401 or code == 407) and not rules.auth_rejection_permanent


cdef void classify(const Result* result, Verdict* verdict) noexcept nogil:
    cdef int code = result.code
    if result.cause == C_TIMEOUT:
        verdict.failure_class, verdict.outcome = F_TRANSIENT, O_TIMEOUT
    elif result.cause == C_TRANSPORT:
        verdict.failure_class, verdict.outcome = F_TRANSPORT, O_TRANSPORT_ERROR
    elif result.cause == C_NO_ADDRESS:
        verdict.failure_class, verdict.outcome = F_TRANSPORT, O_DNS_ERROR
    elif result.cause == C_WRONG_FAMILY:
        verdict.failure_class, verdict.outcome = F_CONFIGURATION, O_DNS_ERROR
    elif result.cause == C_UNREADABLE:
        verdict.failure_class, verdict.outcome = F_PROTOCOL, O_REJECTED
    elif code == 503 or result.retry_after_s > 0:
        verdict.failure_class, verdict.outcome = F_THROTTLED, O_THROTTLED
    elif code == 401 or code == 407:
        verdict.failure_class, verdict.outcome = F_CREDENTIALS, O_AUTH_FAILED
    elif code == 400 or code == 420 or code == 494:
        verdict.failure_class, verdict.outcome = F_PROTOCOL, O_REJECTED
    elif code == 408:
        verdict.failure_class, verdict.outcome = F_TRANSIENT, O_TIMEOUT
    elif code == 500 or code == 502 or code == 504 or code >= 600:
        verdict.failure_class, verdict.outcome = F_TRANSIENT, O_REJECTED
    else:
        verdict.failure_class, verdict.outcome = F_POLICY, O_REJECTED


cdef void wait(Verdict* verdict, int64_t wait_s, bint counted) noexcept nogil:
    verdict.waits = True
    verdict.counted = counted
    verdict.wait_s = wait_s


cdef void decide(const Rules* rules, uint32_t retries, const Result* result,
                 Verdict* verdict) noexcept nogil:
    """Steps 6 to 8 of the procedure: what follows a final result that nothing else could mend."""
    cdef int code = result.code
    cdef bint temporary = result.cause == C_UNREADABLE or is_temporary(rules, code)
    classify(result, verdict)
    verdict.waits = False
    verdict.counted = False
    verdict.wait_s = 0
    if result.retry_after_s > 0:
        wait(verdict, min(result.retry_after_s, <int64_t>RETRY_AFTER_CAP_S), False)
    elif temporary and rules.retry_interval_s > 0:
        if retries < rules.max_retries:
            wait(verdict, rules.retry_interval_s, True)
    elif code == 403 and rules.forbidden_retry_interval_s > 0 and retries < rules.max_retries:
        wait(verdict, rules.forbidden_retry_interval_s, True)
    elif rules.fatal_retry_interval_s > 0 and retries < rules.max_retries:
        wait(verdict, rules.fatal_retry_interval_s, True)


cdef int64_t probe_wait_s(const Rules* rules, int failure_class) noexcept nogil:
    """`@probe_interval`; a registrar must not take us for somebody who guesses passwords."""
    if rules.probe_interval_s and failure_class == F_CREDENTIALS:
        return max(rules.probe_interval_s, <uint32_t>PROBE_CREDENTIALS_S)
    return rules.probe_interval_s


cdef void refresh_window_ns(const Rules* rules, uint32_t granted_s,
                            int64_t* earliest_ns, int64_t* latest_ns) noexcept nogil:
    """E - 10 s as Asterisk (E <= 20: E / 2), moved earlier so that phases spread.

    The shift is at least p/2 per cent of E, or what one failed refresh and its retry need if that
    is less, and at most p per cent of E (p = `refresh_jitter`). Never under one second.
    """
    cdef double granted = granted_s
    cdef double base = granted - 10.0 if granted_s > 20 else granted / 2.0
    cdef double most = granted * rules.refresh_jitter / 100.0
    cdef double least = min(
        most / 2.0, rules.timer_b_ms / 1000.0 + 1.1 * rules.retry_interval_s)
    latest_ns[0] = <int64_t>(max(base - least, 1.0) * NS_PER_S)
    earliest_ns[0] = <int64_t>(max(base - most, 1.0) * NS_PER_S)


def verdict_of(*, code, cause=0, retry_after_s=-1, retries=0, retry_interval=60,
               forbidden_retry_interval=0, fatal_retry_interval=0, max_retries=10,
               auth_rejection_permanent=True):
    """`decide`, for tests: ``(wait_s or None, counted, failure class, outcome)``."""
    from regiment.model import CLASSES, OUTCOMES
    cdef Rules rules
    cdef Result result
    cdef Verdict verdict
    rules.retry_interval_s = retry_interval
    rules.forbidden_retry_interval_s = forbidden_retry_interval
    rules.fatal_retry_interval_s = fatal_retry_interval
    rules.max_retries = max_retries
    rules.auth_rejection_permanent = auth_rejection_permanent
    result.code, result.cause, result.retry_after_s = code, cause, retry_after_s
    decide(&rules, retries, &result, &verdict)
    return (
        verdict.wait_s if verdict.waits else None,
        bool(verdict.counted),
        CLASSES[verdict.failure_class],
        OUTCOMES[verdict.outcome],
    )


def refresh_window(granted_s, *, refresh_jitter=10.0, timer_b_ms=32000, retry_interval=60):
    """`refresh_window_ns`, for tests: ``(earliest, latest)`` in ns after the 2xx."""
    cdef Rules rules
    cdef int64_t earliest = 0, latest = 0
    rules.refresh_jitter = refresh_jitter
    rules.timer_b_ms = timer_b_ms
    rules.retry_interval_s = retry_interval
    refresh_window_ns(&rules, granted_s, &earliest, &latest)
    return earliest, latest
