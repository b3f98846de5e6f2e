# cython: boundscheck=False, wraparound=False
"""The batch of datagrams: the only thing that passes between a core and the network.

Nothing here sees a socket. An inbox has fixed slots that `regiment.net.udp` fills, each with a
datagram or with a run of them; an outbox is a bump arena in which a core lays its datagrams end to
end, so that a run of them is one piece of memory.
"""

import ipaddress

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from regiment.errors import LocalError

cdef extern from "<sys/mman.h>" nogil:
    int PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, MADV_NOHUGEPAGE
    void* MAP_FAILED
    void* mmap(void* address, size_t length, int protection, int flags, int fd, long offset)
    int munmap(void* address, size_t length)
    int madvise(void* address, size_t length, int advice)

# Address families as Linux numbers them; cores and this file must not include socket headers.
cdef enum:
    FAMILY_INET = 2
    FAMILY_INET6 = 10
    SOCKADDR_INET_BYTES = 16
    SOCKADDR_INET6_BYTES = 28

# The largest UDP payload is 65,527 bytes (IPv6); the pad keeps the stride off the multiples of
# 4096, or the first lines of all slots would fight for the same few sets of the caches.
DEFAULT_SLOT_BYTES = 65536 + 192
DEFAULT_ARENA_BYTES = 2 * 1024 * 1024

# Where `group` works: so many datagrams at a time.
cdef enum:
    WINDOW = 1024
    BUCKETS = 256

cdef struct Group:
    uint16_t first       # the datagram that opened it
    uint16_t following   # the next group of its bucket; WINDOW: none
    uint16_t size
    uint16_t place       # where its next datagram goes

cdef Group groups[WINDOW]
cdef uint16_t group_of[WINDOW]
cdef Datagram grouped[WINDOW]


cdef class Batch:

    def __dealloc__(self):
        if self.items != NULL:
            munmap(self.items, self.capacity * sizeof(Datagram))
        if self.arena != NULL:
            munmap(self.arena, self.arena_bytes)

    @staticmethod
    def inbox(uint32_t slots=256, uint32_t slot_bytes=DEFAULT_SLOT_BYTES):
        cdef Batch batch = Batch()
        if slots > 0xffffffff // RUN_DATAGRAMS:
            raise MemoryError
        _allocate(batch, slots * RUN_DATAGRAMS, <size_t>slots * slot_bytes)
        # With huge pages the first byte of a slot would bring 2 MB with it.
        madvise(batch.arena, batch.arena_bytes, MADV_NOHUGEPAGE)
        batch.slot_bytes = slot_bytes
        return batch

    @staticmethod
    def outbox(uint32_t capacity=1024, size_t arena_bytes=DEFAULT_ARENA_BYTES):
        cdef Batch batch = Batch()
        _allocate(batch, capacity, arena_bytes)
        return batch

    cdef char* reserve(self, size_t length) noexcept nogil:
        cdef size_t taken = self.slot_bytes if self.slot_bytes else length
        if (self.count >= self.capacity or length > taken
                or taken > self.arena_bytes - self.used_bytes):
            return NULL
        return self.arena + self.used_bytes

    cdef void commit(self, uint32_t length, const Peer* peer, uint16_t socket) noexcept nogil:
        cdef Datagram* item = &self.items[self.count]
        item.data = self.arena + self.used_bytes
        self.used_bytes += self.slot_bytes if self.slot_bytes else length
        item.length = length
        item.socket = socket
        item.flags = 0
        item.flow = 0
        item.time_ns = 0
        item.peer = peer[0]
        self.count += 1

    cdef void commit_flow(self, uint32_t length, const Peer* peer, uint32_t flow) noexcept nogil:
        self.commit(length, peer, NO_SOCKET)
        self.items[self.count - 1].flow = flow

    cpdef void clear(self) noexcept nogil:
        self.count = 0
        self.cursor = 0
        self.used_bytes = 0

    cpdef void group(self) noexcept nogil:
        cdef uint32_t start = 0
        while start < self.count:
            _group(&self.items[start], min(<uint32_t>WINDOW, self.count - start))
            start += WINDOW

    def append(self, bytes data not None, bytes peer not None, uint16_t socket=0,
               int64_t time_ns=0, uint32_t flow=0):
        cdef Peer address
        peer_from_bytes(&address, peer)
        cdef char* room = self.reserve(len(data))
        if room == NULL:
            raise LocalError(f"the batch has no room for {len(data)} bytes more")
        memcpy(room, <const char*>data, len(data))
        self.commit(<uint32_t>len(data), &address, <uint16_t>NO_SOCKET if flow else socket)
        self.items[self.count - 1].flow = flow
        self.items[self.count - 1].time_ns = time_ns

    def __len__(self):
        return self.count

    def __getitem__(self, Py_ssize_t index):
        if index < 0:
            index += self.count
        if not 0 <= index < self.count:
            raise IndexError("no such datagram in the batch")
        cdef Datagram* item = &self.items[index]
        return (item.data[:item.length], peer_to_bytes(&item.peer), item.socket, item.time_ns)

    def flow(self, Py_ssize_t index):
        if not 0 <= index < self.count:
            raise IndexError("no such datagram in the batch")
        return self.items[index].flow

    @property
    def room(self):
        if self.slot_bytes:
            return (self.arena_bytes - self.used_bytes) // self.slot_bytes
        return self.capacity - self.count

    @property
    def sent(self):
        return self.cursor


cdef int _allocate(Batch batch, uint32_t capacity, size_t arena_bytes) except -1:
    if not capacity or not arena_bytes:
        raise LocalError("a batch needs a capacity and a size of at least 1")
    batch.items = <Datagram*>_map(capacity * sizeof(Datagram))
    batch.capacity = capacity
    batch.arena = <char*>_map(arena_bytes)
    batch.arena_bytes = arena_bytes
    return 0


cdef void* _map(size_t length) except NULL:
    # Untouched pages cost nothing, so both maps are as large as the worst case.
    cdef void* memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if memory == MAP_FAILED:
        raise MemoryError
    return memory


cdef inline bint _same_group(const Datagram* a, const Datagram* b) noexcept nogil:
    return (a.length == b.length and a.socket == b.socket and a.flow == b.flow
            and same_peer(&a.peer, &b.peer))


cdef inline uint32_t _bucket(const Datagram* item) noexcept nogil:
    # Port and the end of an IPv4 address; IPv6 peers may share a bucket. Lengths differ most.
    cdef uint32_t mixed = item.length * 31 + item.socket
    cdef int i
    for i in range(2, 8):
        mixed = mixed * 31 + item.peer.bytes[i]
    return mixed & (BUCKETS - 1)


cdef void _group(Datagram* items, uint32_t count) noexcept nogil:
    cdef uint16_t buckets[BUCKETS]
    cdef uint32_t found = 0, changes = 0, current = WINDOW, bucket, i, place = 0
    if count < 3:
        return
    for i in range(<uint32_t>BUCKETS):
        buckets[i] = WINDOW
    for i in range(count):
        if current == WINDOW or not _same_group(&items[i], &items[groups[current].first]):
            changes += 1
            bucket = _bucket(&items[i])
            current = buckets[bucket]
            while current != WINDOW and not _same_group(&items[i], &items[groups[current].first]):
                current = groups[current].following
            if current == WINDOW:
                current = found
                found += 1
                groups[current].first = <uint16_t>i
                groups[current].size = 0
                groups[current].following = buckets[bucket]
                buckets[bucket] = <uint16_t>current
        groups[current].size += 1
        group_of[i] = <uint16_t>current
    if changes == found:
        return      # every group stands together already
    for i in range(found):
        groups[i].place = <uint16_t>place
        place += groups[i].size
    for i in range(count):
        current = group_of[i]
        grouped[groups[current].place] = items[i]
        groups[current].place += 1
    memcpy(items, grouped, count * sizeof(Datagram))


cdef bint same_peer(const Peer* a, const Peer* b) noexcept nogil:
    return a.length == b.length and memcmp(a.bytes, b.bytes, a.length) == 0


cdef inline uint16_t _big16(const uint8_t* raw) noexcept nogil:
    return <uint16_t>((raw[0] << 8) | raw[1])


cdef int _write_number(char* out, uint32_t value, uint32_t base) noexcept nogil:
    # without leading zeroes, lower-case; returns how many digits
    cdef char digits[10]
    cdef int count = 0, i
    while True:
        digits[count] = b"0123456789abcdef"[value % base]
        count += 1
        value //= base
        if value == 0:
            break
    for i in range(count):
        out[i] = digits[count - 1 - i]
    return count


cdef int _format_inet(const uint8_t* address, char* out) noexcept nogil:
    cdef int at = 0, i
    for i in range(4):
        if i:
            out[at] = c"."
            at += 1
        at += _write_number(out + at, address[i], 10)
    return at


cdef int _format_inet6(const uint8_t* address, char* out) noexcept nogil:
    # RFC 5952 section 4: the longest run of zero groups (two at least) becomes "::", the first
    # of equals
    cdef int at = 0, i = 0, start = -1, length = 0, run = 0
    cdef int groups = 8
    if memcmp(address, b"\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0:
        groups = 6      # section 5: an IPv4-mapped address ends as IPv4
    for i in range(groups):
        run = run + 1 if _big16(address + 2 * i) == 0 else 0
        if run > length and run > 1:
            length = run
            start = i - run + 1
    i = 0
    while i < groups:
        if i == start:
            out[at] = out[at + 1] = c":"
            at += 2
            i += length
            continue
        if i and i != start + length:
            out[at] = c":"
            at += 1
        at += _write_number(out + at, _big16(address + 2 * i), 16)
        i += 1
    if groups == 6:
        out[at] = c":"
        at += 1 + _format_inet(address + 12, out + at + 1)
    return at


cdef int format_peer(const Peer* peer, char* out, uint16_t* port) noexcept nogil:
    port[0] = 0
    if peer.length < SOCKADDR_INET_BYTES:
        return 0
    port[0] = _big16(peer.bytes + 2)
    if peer.length == SOCKADDR_INET6_BYTES:
        return _format_inet6(peer.bytes + 8, out)
    return _format_inet(peer.bytes + 4, out)


cdef int peer_from_bytes(Peer* peer, bytes raw) except -1:
    cdef Py_ssize_t length = len(raw)
    cdef uint16_t family = 0
    memset(peer, 0, sizeof(Peer))
    if length >= 2:
        memcpy(&family, <const char*>raw, 2)
    if not ((family == FAMILY_INET and length == SOCKADDR_INET_BYTES)
            or (family == FAMILY_INET6 and length == SOCKADDR_INET6_BYTES)):
        raise LocalError(f"not a socket address: {raw.hex() or 'no bytes'}")
    peer.length = <uint8_t>length
    memcpy(peer.bytes, <const char*>raw, length)
    return 0


cdef bytes peer_to_bytes(const Peer* peer):
    return (<const char*>peer.bytes)[:peer.length]


def peer_from_address(str host not None, int port, uint32_t scope_id=0):
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise LocalError(f"not an IP address: {host!r}") from None
    if not 0 <= port <= 65535:
        raise LocalError(f"not a port: {port}")
    cdef Peer peer
    cdef bytes packed = address.packed
    cdef uint16_t family = FAMILY_INET if address.version == 4 else FAMILY_INET6
    memset(&peer, 0, sizeof(Peer))
    memcpy(peer.bytes, &family, 2)
    peer.bytes[2] = <uint8_t>(port >> 8)
    peer.bytes[3] = <uint8_t>(port & 0xff)
    if family == FAMILY_INET:
        peer.length = SOCKADDR_INET_BYTES
        memcpy(peer.bytes + 4, <const char*>packed, 4)
    else:
        if address.scope_id is not None:
            if not address.scope_id.isdecimal():
                raise LocalError(f"the zone of {host!r} must be a number here")
            scope_id = int(address.scope_id)
        peer.length = SOCKADDR_INET6_BYTES
        memcpy(peer.bytes + 8, <const char*>packed, 16)
        memcpy(peer.bytes + 24, &scope_id, 4)
    return peer_to_bytes(&peer)


def peer_to_address(bytes raw not None):
    cdef Peer peer
    cdef char text[48]
    cdef uint16_t port = 0
    peer_from_bytes(&peer, raw)
    cdef int length = format_peer(&peer, text, &port)
    return text[:length].decode("ascii"), port
