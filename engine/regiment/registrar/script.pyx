# cython: boundscheck=False, wraparound=False, cdivision=True
"""The faults that `faults.Faults` asks for, decided without memory (see there)."""

from libc.math cimport log
from libc.stdint cimport int64_t, uint64_t

from regiment.errors import ConfigError
from regiment.registrar import faults as written

from regiment.keyed cimport derive_key, keyed_word
from regiment.timing.pacer cimport next_random, unit_interval

cdef int64_t LONGEST_NS = written.MAX_DELAY_NS


cdef class Script:
    def __init__(self, faults, seed):
        cdef int i
        self.status_key = derive_key(seed, b"status")
        self.delay_key = derive_key(seed, b"delay")
        self.drop_state = derive_key(seed, b"drop").k0
        self.drop_in = faults.drop_in / 100.0
        self.drop_out = faults.drop_out / 100.0
        self.silent = faults.silent
        self.delay_kind = written.DELAYS.index(faults.delay.kind)
        self.low_ns = faults.delay.low_ns
        self.high_ns = faults.delay.high_ns
        self._limit(faults.limit)
        self.status_count = len(faults.statuses)
        if self.status_count > MAX_STATUSES:
            raise ConfigError(f"at most {MAX_STATUSES} scripted statuses")
        self.kept = []
        for i in range(self.status_count):
            _keep(self, i, faults.statuses[i])

    def _limit(self, limit):
        self.limit_headers = b""
        if limit.per_s <= 0:
            return
        self.limit_interval_ns = max(<int64_t>(1e9 / limit.per_s), 1)
        burst = max(limit.burst or int(limit.per_s), 1)
        self.limit_tolerance_ns = self.limit_interval_ns * (burst - 1)
        if limit.retry_after_s:
            self.limit_headers = b"Retry-After: %d\r\n" % limit.retry_after_s

    cdef bint grants(self, int64_t now_ns) noexcept nogil:
        # the generic cell rate algorithm: one moment stands for the bucket
        if self.limit_interval_ns == 0:
            return True
        if self.limit_next_ns > now_ns + self.limit_tolerance_ns:
            return False
        self.limit_next_ns = max(self.limit_next_ns, now_ns) + self.limit_interval_ns
        return True

    cdef bint loses_inbound(self) noexcept nogil:
        return self.drop_in > 0 and unit_interval(next_random(&self.drop_state)) < self.drop_in

    cdef bint loses_outbound(self) noexcept nogil:
        return self.drop_out > 0 and unit_interval(next_random(&self.drop_state)) < self.drop_out

    cdef const Scripted* status(self, uint64_t transaction, int scope) noexcept nogil:
        cdef double u
        cdef int i
        if self.status_count == 0:
            return NULL
        u = unit_interval(keyed_word(&self.status_key, transaction))
        for i in range(self.status_count):
            if self.statuses[i].scope != SCOPE_ANY and self.statuses[i].scope != scope:
                continue
            if u < self.statuses[i].share:
                return &self.statuses[i]
            u -= self.statuses[i].share
        return NULL

    cdef int64_t delay_ns(self, uint64_t transaction) noexcept nogil:
        cdef double u
        if self.delay_kind == 0:
            return 0
        if self.delay_kind == 1:
            return self.low_ns
        u = unit_interval(keyed_word(&self.delay_key, transaction))
        if self.delay_kind == 2:
            return self.low_ns + <int64_t>(u * <double>(self.high_ns - self.low_ns))
        return min(LONGEST_NS, <int64_t>(-log(1.0 - u) * <double>self.low_ns))

    def status_of(self, uint64_t transaction, str scope not None):
        """See script.pyi."""
        cdef const Scripted* found = self.status(transaction, written.SCOPES.index(scope))
        return 0 if found == NULL else found.code

    def delay_of(self, uint64_t transaction):
        """See script.pyi."""
        return self.delay_ns(transaction)

    def granted(self, moments_ns):
        """See script.pyi."""
        return [bool(self.grants(moment_ns)) for moment_ns in moments_ns]

    def losses(self, int count):
        """See script.pyi."""
        lost = []
        for _ in range(count):
            lost.append(bool(self.loses_inbound()))
        return lost


cdef int _keep(Script self, int index, status) except -1:
    cdef Scripted* place = &self.statuses[index]
    reason = status.reason or written.REASONS.get(status.code, "Scripted Fault")
    cdef bytes line = f"{status.code} {reason}".encode()
    cdef bytes headers = "".join(f"{name}: {value}\r\n" for name, value in status.headers).encode()
    self.kept.append((line, headers))
    place.code = status.code
    place.scope = written.SCOPES.index(status.scope)
    place.share = status.percent / 100.0
    place.line = line
    place.line_length = len(line)
    place.headers = headers
    place.headers_length = len(headers)
    if place.scope != SCOPE_ANY:
        self.scoped = True
    return 0
