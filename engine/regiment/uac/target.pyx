"""A target: scheme, host, port and transport of a next hop, shared by many registrations."""

from libc.stdlib cimport free, realloc
from regiment.datagram cimport peer_from_bytes, same_peer
from regiment.uac.congestion cimport window_limit
from regiment.uac.governor cimport bucket_set_rate
from regiment.uac.health cimport address_init, has_room

cdef double CONNECTS_PER_S = 200.0         # of one worker
cdef int64_t REUSE_OFF_NS = 3600 * 1_000_000_000
# Longer ones are believed for the registration alone that they answer: RFC 3261 10.3 allows 423
# only for what is under an hour, and one odd answer must not stretch the refreshes of all.
cdef int64_t MIN_EXPIRES_MOST_S = 3600
cdef int64_t MIN_EXPIRES_KEPT_NS = 86400 * 1_000_000_000


cdef inline bint is_at(const Address* address, const Peer* peer, uint16_t face) noexcept nogil:
    return address.face == face and same_peer(&address.peer, peer)


cdef class Target:
    """One next hop. `label` is host[:port] of the server_uri, for metrics and people."""

    def __init__(self, index, label, destination, transports, is_strict, is_watched):
        self.index = index
        self.label = label
        self.host, self.port = destination.host, destination.port
        self.protocol = destination.protocol
        self.is_literal = destination.is_literal
        self.is_secure = destination.scheme == "sips"
        self.transports = transports
        self.is_strict = is_strict
        self.is_watched = is_watched
        self.queue = Queue()
        self.departures = Queue()
        self.max_rate = -1.0
        self.shared = {}
        self.trouble = ""
        bucket_set_rate(&self.connects, CONNECTS_PER_S)

    def __dealloc__(self):
        free(self.addresses)

    cdef void ask_again(self, int64_t at_ns) noexcept nogil:
        """One of its addresses may be had then: the first such moment is what counts."""
        if self.opens_ns == 0 or at_ns < self.opens_ns:
            self.opens_ns = at_ns

    cdef int choose(self, int64_t now_ns) noexcept nogil:
        cdef Address* address
        cdef int last = -1                       # the best of the suspect ones
        cdef uint32_t at
        self.opens_ns = 0
        for at in range(self.address_count):
            address = &self.addresses[self.order[at]]
            if address.gated_until_ns > now_ns:
                self.ask_again(address.gated_until_ns)
            elif address.probe_ns == 0:
                # where it has no room, nobody goes elsewhere: an answer or a verdict comes soon
                return self.order[at] if has_room(address) else -1
            elif address.probe_ns <= now_ns and address.outstanding == 0:
                return self.order[at]
            else:
                if last < 0 and has_room(address):
                    last = self.order[at]
                if address.outstanding == 0:
                    self.ask_again(address.probe_ns)
        return last

    cdef int choose_any(self, int64_t now_ns) noexcept nogil:
        cdef Address* address
        cdef int last = -1
        cdef uint32_t at
        self.opens_ns = 0
        for at in range(self.address_count):
            address = &self.addresses[self.order[at]]
            if address.gated_until_ns > now_ns:
                self.ask_again(address.gated_until_ns)
            elif address.probe_ns == 0:
                return self.order[at]
            elif last < 0:
                last = self.order[at]
        return last

    cdef int next_free(self, int place, int64_t now_ns) noexcept nogil:
        cdef const Address* address
        cdef uint32_t at, start = 0
        for at in range(self.address_count):
            if self.order[at] == place:
                start = at + 1
        for at in range(start, self.address_count):
            address = &self.addresses[self.order[at]]
            if address.gated_until_ns <= now_ns and address.probe_ns == 0:
                return self.order[at]
        return -1

    cdef int take(self, list peers, list faces, list are_streams,
                  int64_t now_ns) except -1:
        cdef Peer peer
        cdef uint32_t count = 0
        cdef uint16_t face
        cdef int place
        for raw, face in zip(peers[:ADDRESSES_MAX], faces):
            peer_from_bytes(&peer, raw)
            place = self._place_for(&peer, face, count)
            if place < 0:
                break                            # every place is in use
            if not is_at(&self.addresses[place], &peer, face):
                address_init(&self.addresses[place], self.is_watched)
                self.addresses[place].peer = peer
                self.addresses[place].face = face
                self.addresses[place].is_stream = are_streams[count]
            self.order[count] = <uint8_t>place
            count += 1
        self.address_count = count
        return 0

    cdef int _place_for(self, const Peer* peer, uint16_t face, uint32_t taken) except -1:
        """Where that peer stands; else a new place; else the one that is needed least long; -1:
        transactions run towards all of them."""
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
            is_taken = self.addresses[place].outstanding != 0 or self.addresses[place].flows != 0
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
        address_init(&addresses[self.places], self.is_watched)
        self.places += 1
        return self.places - 1

    @property
    def outstanding(self):
        return self.window.outstanding

    @property
    def outstanding_limit(self):
        return window_limit(&self.window)

    @property
    def learned_rate(self):
        return self.pace.rate

    cdef uint32_t least_expires_s(self, int64_t now_ns) noexcept nogil:
        if self.min_expires_s and now_ns >= self.min_expires_until_ns:
            self.min_expires_s = 0
        return self.min_expires_s

    cdef void learn_min_expires(self, int64_t seconds, int64_t now_ns) noexcept nogil:
        if seconds <= MIN_EXPIRES_MOST_S:
            self.min_expires_s = <uint32_t>seconds
            self.min_expires_until_ns = now_ns + MIN_EXPIRES_KEPT_NS

    cdef bint reuse_allowed(self, int64_t now_ns) noexcept nogil:
        return self.reuse_off_until_ns <= now_ns

    cdef bint reuse_refused(self, int64_t now_ns) noexcept nogil:
        self.refusals += 1
        if self.refusals < 2:
            return False
        self.refusals = 0
        self.reuse_off_until_ns = now_ns + REUSE_OFF_NS
        return True
