"""A target: scheme, host, port and transport of a next hop, shared by many registrations."""

from libc.string cimport memset

from regiment.datagram cimport peer_from_bytes, same_peer

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

    cdef int first_free(self, int64_t now_ns) noexcept nogil:
        return self._pick(0, now_ns)

    cdef int next_free(self, int place, int64_t now_ns) noexcept nogil:
        cdef uint32_t at
        for at in range(self.address_count):
            if self.order[at] == place:
                return self._pick(at + 1, now_ns)
        return self._pick(0, now_ns)

    cdef int _pick(self, uint32_t start, int64_t now_ns) noexcept nogil:
        cdef uint32_t at
        for at in range(start, self.address_count):
            if self.addresses[self.order[at]].gated_until_ns <= now_ns:
                return self.order[at]
        return -1

    cdef int64_t gate_ns(self, int64_t now_ns) noexcept nogil:
        cdef int64_t gated_until_ns, first = 0
        cdef uint32_t at
        for at in range(self.address_count):
            gated_until_ns = self.addresses[self.order[at]].gated_until_ns
            if gated_until_ns <= now_ns:
                return 0
            if first == 0 or gated_until_ns < first:
                first = gated_until_ns
        return first

    cdef int take(self, list peers, int64_t now_ns) except -1:
        cdef Peer peer
        cdef uint32_t count = 0
        cdef int place
        for raw in peers[:ADDRESSES_MAX]:
            peer_from_bytes(&peer, raw)
            place = self._place_for(&peer, count, now_ns)
            if not same_peer(&self.addresses[place].peer, &peer):
                memset(&self.addresses[place], 0, sizeof(Address))
                self.addresses[place].peer = peer
            self.order[count] = <uint8_t>place
            count += 1
        self.address_count = count
        return 0

    cdef int _place_for(self, const Peer* peer, uint32_t taken, int64_t now_ns) noexcept nogil:
        """Where that peer stands; else a free place; else the one that is needed least long."""
        cdef int place, best = -1
        cdef uint32_t at
        cdef bint is_taken
        for place in range(PLACES):
            if self.addresses[place].peer.length and same_peer(&self.addresses[place].peer, peer):
                return place
        for place in range(PLACES):
            is_taken = False
            for at in range(taken):
                is_taken |= self.order[at] == place
            if is_taken:
                continue
            if self.addresses[place].peer.length == 0:
                return place
            if best < 0 or (self.addresses[place].busy_until_ns
                            < self.addresses[best].busy_until_ns):
                best = place
        return best

    cdef bint reuse_allowed(self, int64_t now_ns) noexcept nogil:
        return self.reuse_off_until_ns <= now_ns

    cdef bint reuse_refused(self, int64_t now_ns) noexcept nogil:
        self.refusals += 1
        if self.refusals < 2:
            return False
        self.refusals = 0
        self.reuse_off_until_ns = now_ns + REUSE_OFF_NS
        return True
