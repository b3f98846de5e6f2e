# cython: boundscheck=False, wraparound=False
"""The location service: who is bound where, until when (RFC 3261 section 10.3).

An AOR is a 48-byte record in an array; its number is its timer, which stands at the moment when its
first binding expires. A binding is one allocation that holds its texts too. AORs are indexed by
128-bit keyed hashes of their canonical form, so no copy of the name is kept.

A record outlives its last binding by `keep_ns`: a retransmission of the un-REGISTER must meet the
same 200 (Timer J of RFC 3261 section 17.2.2), and a replay of an older REGISTER with its nonce must
not bring the binding back while that nonce lives.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset

from regiment.registrar.counts cimport (
    CELL_AORS,
    CELL_BINDINGS,
    CELL_CHANGES,
    CHANGE_ADDED,
    CHANGE_EXPIRED,
    CHANGE_REFRESHED,
)
from regiment.timing.wheel cimport Wheel
from regiment.sip.comparison cimport uri_equal


cdef class Location:
    def __init__(self, int64_t keep_ns, uint32_t limit):
        self.keep_ns = keep_ns
        self.limit = limit
        self.free_head = NO_AOR
        self.wheel = Wheel()
        self.mask = 1023
        self.places = <Place*>calloc(self.mask + 1, sizeof(Place))
        if self.places == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef uint32_t i
        cdef Binding* binding
        for i in range(self.used):
            while self.aors[i].first != NULL:
                binding = self.aors[i].first
                self.aors[i].first = binding.next
                free(binding)
        free(self.aors)
        free(self.places)

    def __len__(self):
        return self.held

    cdef uint32_t find(self, uint64_t high, uint64_t low) noexcept nogil:
        cdef uint32_t at = <uint32_t>low & self.mask, tag = <uint32_t>(low >> 32)
        cdef Aor* aor
        while self.places[at].aor:
            if self.places[at].tag == tag:
                aor = &self.aors[self.places[at].aor - 1]
                if aor.low == low and aor.high == high:
                    return self.places[at].aor - 1
            at = (at + 1) & self.mask
        return NO_AOR

    cdef uint32_t open(self, uint64_t high, uint64_t low) except? 0xffffffff:
        cdef uint32_t number
        if self.held >= self.limit:
            return NO_AOR
        if (self.held + 1) * 4 > (self.mask + 1) * <uint64_t>3:
            _widen_index(self)
        if self.free_head != NO_AOR:
            number = self.free_head
            self.free_head = self.aors[number].bindings
        else:
            if self.used == self.capacity:
                _widen_records(self)
            number = self.used
            self.used += 1
        memset(&self.aors[number], 0, sizeof(Aor))
        self.aors[number].high = high
        self.aors[number].low = low
        self.held += 1
        _index(self, number)
        return number

    cdef void sweep(self, uint32_t aor, int64_t now_ns) noexcept nogil:
        cdef Binding* binding = self.aors[aor].first
        cdef Binding* after
        while binding != NULL:
            after = binding.next
            if binding.expires_ns <= now_ns:
                self.remove(aor, binding, CHANGE_EXPIRED)
            binding = after

    cdef Binding* binding(self, uint32_t aor, const char* uri, uint32_t length,
                          uint64_t flow_key) noexcept nogil:
        cdef Binding* each = self.aors[aor].first
        if flow_key:
            while each != NULL and each.flow_key != flow_key:
                each = each.next
            return each
        # the same bytes first: a client that refreshes writes what it wrote before
        while each != NULL:
            if (each.flow_key == 0 and each.uri_length == length
                    and memcmp(each.text, uri, length) == 0):
                return each
            each = each.next
        each = self.aors[aor].first
        while each != NULL:
            if each.flow_key == 0 and uri_equal(each.text, each.uri_length, uri, length):
                return each
            each = each.next
        return NULL

    cdef Binding* put(self, uint32_t aor, Binding* old, const char* uri, uint32_t uri_length,
                      const char* parameters, uint32_t parameters_length) noexcept nogil:
        cdef Binding* binding = old
        cdef Binding** link = &self.aors[aor].first
        cdef uint32_t length = uri_length + parameters_length
        # the same size is the same place: a refresh mostly writes what is there already
        if old == NULL or <uint32_t>old.uri_length + old.parameters_length != length:
            while link[0] != old:
                link = &link[0].next
            binding = <Binding*>realloc(old, sizeof(Binding) + length)
            if binding == NULL:
                return NULL
            link[0] = binding
        binding.uri_length = <uint16_t>uri_length
        binding.parameters_length = <uint16_t>parameters_length
        memcpy(binding.text, uri, uri_length)
        memcpy(binding.text + uri_length, parameters, parameters_length)
        if old != NULL:
            self.cells[CELL_CHANGES + CHANGE_REFRESHED] += 1
            return binding
        binding.next = NULL
        self.cells[CELL_BINDINGS] += 1
        self.cells[CELL_CHANGES + CHANGE_ADDED] += 1
        if self.aors[aor].bindings == 0:
            self.cells[CELL_AORS] += 1
        self.aors[aor].bindings += 1
        return binding

    cdef void remove(self, uint32_t aor, Binding* binding, int change) noexcept nogil:
        cdef Binding** link = &self.aors[aor].first
        while link[0] != binding:
            link = &link[0].next
        link[0] = binding.next
        free(binding)
        self.cells[CELL_BINDINGS] -= 1
        self.cells[CELL_CHANGES + change] += 1
        self.aors[aor].bindings -= 1
        if self.aors[aor].bindings == 0:
            self.cells[CELL_AORS] -= 1

    cdef void settle(self, uint32_t aor, int64_t now_ns) noexcept nogil:
        cdef Binding* binding = self.aors[aor].first
        cdef int64_t first_ns = now_ns + self.keep_ns
        if binding != NULL:
            first_ns = binding.expires_ns
            while binding != NULL:
                first_ns = min(first_ns, binding.expires_ns)
                binding = binding.next
        self.wheel.arm(aor, first_ns)

    cdef bint is_bound(self, uint32_t aor, int64_t now_ns) noexcept nogil:
        cdef Binding* binding = self.aors[aor].first
        while binding != NULL:
            if binding.expires_ns > now_ns:
                return 1
            binding = binding.next
        return 0

    cdef bint knows(self, uint32_t aor, uint64_t transaction) noexcept nogil:
        cdef Binding* binding = self.aors[aor].first
        if self.aors[aor].transaction == transaction:
            return 1
        while binding != NULL:
            if binding.transaction == transaction:
                return 1
            binding = binding.next
        return 0

    cdef bint is_replay(self, uint32_t aor, uint64_t nonce, uint32_t nc) noexcept nogil:
        cdef Binding* binding = self.aors[aor].first
        if self.aors[aor].nonce == nonce and nc <= self.aors[aor].nc:
            return 1
        while binding != NULL:
            if binding.nonce == nonce and nc <= binding.nc:
                return 1
            binding = binding.next
        return 0

    cdef void expire(self, int64_t now_ns, uint32_t limit) noexcept nogil:
        cdef uint32_t[256] fired
        cdef uint32_t count, i, done = 0
        while done < limit:
            count = self.wheel.expire(now_ns, fired, 256)
            for i in range(count):
                if self.aors[fired[i]].bindings == 0:
                    _close(self, fired[i])
                else:
                    self.sweep(fired[i], now_ns)
                    self.settle(fired[i], now_ns)
            done += count
            if count < 256:
                return


cdef void _index(Location self, uint32_t number) noexcept nogil:
    cdef uint64_t low = self.aors[number].low
    cdef uint32_t at = <uint32_t>low & self.mask
    while self.places[at].aor:
        at = (at + 1) & self.mask
    self.places[at].tag = <uint32_t>(low >> 32)
    self.places[at].aor = number + 1


cdef void _close(Location self, uint32_t number) noexcept nogil:
    # Takes the record out of the index and closes the gap, so that probing needs no tombstones.
    cdef uint32_t at = <uint32_t>self.aors[number].low & self.mask, gap, home
    while self.places[at].aor != number + 1:
        at = (at + 1) & self.mask
    gap = at
    while True:
        at = (at + 1) & self.mask
        if self.places[at].aor == 0:
            break
        home = <uint32_t>self.aors[self.places[at].aor - 1].low & self.mask
        # it may move up only if its home does not lie between the gap and itself
        if ((at - home) & self.mask) >= ((at - gap) & self.mask):
            self.places[gap] = self.places[at]
            gap = at
    self.places[gap].aor = 0
    memset(&self.aors[number], 0, sizeof(Aor))
    self.aors[number].bindings = self.free_head
    self.free_head = number
    self.held -= 1


cdef int _widen_index(Location self) except -1:
    cdef uint32_t mask = self.mask * 2 + 1, i
    cdef Place* places = <Place*>calloc(<size_t>mask + 1, sizeof(Place))
    cdef Place* old = self.places
    cdef uint32_t old_mask = self.mask
    if places == NULL:
        raise MemoryError
    self.places = places
    self.mask = mask
    for i in range(old_mask + 1):
        if old[i].aor:
            _index(self, old[i].aor - 1)
    free(old)
    return 0


cdef int _widen_records(Location self) except -1:
    cdef uint32_t capacity = max(<uint32_t>1024, self.capacity * 2)
    cdef Aor* aors
    self.wheel.resize(capacity)
    aors = <Aor*>realloc(self.aors, <size_t>capacity * sizeof(Aor))
    if aors == NULL:
        raise MemoryError
    self.aors = aors
    self.capacity = capacity
    return 0
