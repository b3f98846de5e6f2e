"""A target: scheme, host, port and transport of a next hop, shared by many registrations."""

from libc.stdlib cimport free, realloc
from libc.string cimport memset

from regiment.datagram cimport peer_from_bytes, same_peer

cdef int64_t REUSE_OFF_NS = 3600 * 1_000_000_000


cdef inline bint is_at(const Address* address, const Peer* peer, uint16_t face) noexcept nogil:
    return address.face == face and same_peer(&address.peer, peer)


cdef class Target:
    """One next hop. `label` is host[:port] of the server_uri, for metrics and people."""

    def __init__(self, index, label, destination, transports, is_strict):
        self.index = index
        self.label = label
        self.host, self.port = destination.host, destination.port
        self.protocol = destination.protocol
        self.is_literal = destination.is_literal
        self.is_secure = destination.scheme == "sips"
        self.transports = transports
        self.is_strict = is_strict
        self.queue = Queue()
        self.departures = Queue()
        self.max_rate = -1.0

    def __dealloc__(self):
        free(self.addresses)

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

    cdef int take(self, list peers, list faces, int64_t now_ns) except -1:
        cdef Peer peer
        cdef uint32_t count = 0
        cdef uint16_t face
        cdef int place
        for raw, face in zip(peers[:ADDRESSES_MAX], faces):
            peer_from_bytes(&peer, raw)
            place = self._place_for(&peer, face, count)
            if not is_at(&self.addresses[place], &peer, face):
                memset(&self.addresses[place], 0, sizeof(Address))
                self.addresses[place].peer = peer
                self.addresses[place].face = face
            self.order[count] = <uint8_t>place
            count += 1
        self.address_count = count
        return 0

    cdef int _place_for(self, const Peer* peer, uint16_t face, uint32_t taken) except -1:
        """Where that peer stands; else a new place; else the one that is needed least long."""
        cdef int place, best = -1
        cdef uint32_t at
        cdef bint is_taken
        for place in range(self.places):
            if is_at(&self.addresses[place], peer, face):
                return place
        place = self._new_place()
        if place >= 0:
            return place
        for place in range(self.places):
            is_taken = False
            for at in range(taken):
                is_taken |= self.order[at] == place
            if not is_taken and (best < 0 or self.addresses[place].busy_until_ns
                                 < self.addresses[best].busy_until_ns):
                best = place
        return best

    cdef int _new_place(self) except -2:
        """-1: there are as many as there may be."""
        cdef Address* addresses
        if self.places == PLACES:
            return -1
        addresses = <Address*>realloc(self.addresses, (self.places + 1) * sizeof(Address))
        if addresses == NULL:
            raise MemoryError
        self.addresses = addresses
        memset(&addresses[self.places], 0, sizeof(Address))
        self.places += 1
        return self.places - 1

    cdef bint reuse_allowed(self, int64_t now_ns) noexcept nogil:
        return self.reuse_off_until_ns <= now_ns

    cdef bint reuse_refused(self, int64_t now_ns) noexcept nogil:
        self.refusals += 1
        if self.refusals < 2:
            return False
        self.refusals = 0
        self.reuse_off_until_ns = now_ns + REUSE_OFF_NS
        return True
