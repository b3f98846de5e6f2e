"""A target: scheme, host, port and transport of a next hop, shared by many registrations."""

cdef int64_t REUSE_OFF_NS = 3600 * 1_000_000_000


cdef class Target:
    """One next hop. `label` is host[:port] of the server_uri, for metrics and people."""

    def __init__(self, index, label, host, port, protocol, is_literal, socket):
        self.index = index
        self.label = label
        self.host = host
        self.port = port
        self.protocol = protocol
        self.is_literal = is_literal
        self.socket = socket
        self.queue = Queue()
        self.max_rate = -1.0

    cdef int pick(self, int start, int64_t now_ns) noexcept nogil:
        cdef uint32_t at
        for at in range(<uint32_t>start, self.address_count):
            if self.addresses[at].gated_until_ns <= now_ns:
                return <int>at
        return -1

    cdef int64_t gate_ns(self, int64_t now_ns) noexcept nogil:
        cdef int64_t first = 0
        cdef uint32_t at
        for at in range(self.address_count):
            if self.addresses[at].gated_until_ns <= now_ns:
                return 0
            if first == 0 or self.addresses[at].gated_until_ns < first:
                first = self.addresses[at].gated_until_ns
        return first

    cdef bint reuse_allowed(self, int64_t now_ns) noexcept nogil:
        return self.reuse_off_until_ns <= now_ns

    cdef bint reuse_refused(self, int64_t now_ns) noexcept nogil:
        self.refusals += 1
        if self.refusals < 2:
            return False
        self.refusals = 0
        self.reuse_off_until_ns = now_ns + REUSE_OFF_NS
        return True
