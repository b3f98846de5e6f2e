# cython: boundscheck=False, wraparound=False, cdivision=True
"""The ledger: what a registration needs to go on after its process was killed.

Its memory is mapped from a file, so that whatever was stored before a SIGKILL stays. A process can
be killed between any two stores, and a machine can stop with only some pages written. Therefore
nothing is believed that has no check:

* A *pulse* (CSeq, nc) is written before a request leaves. It takes the place of the older of two,
  so a torn one leaves the one before, and the request of the torn one has never left.
* *Settled* is written after each final response: its check is wiped first and written last. A torn
  one means that this registration alone starts afresh, with a CSeq above its last pulse.

Stores are kept in order against the compiler; no other processor reads an entry while its writer
lives.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #define regiment_store_barrier() __asm__ volatile("" ::: "memory")
    _Static_assert(sizeof(int) == 4, "32-bit int");
    """
    void store_barrier "regiment_store_barrier"() noexcept nogil

ENTRY_SIZE = sizeof(Entry)

cdef enum:
    SETTLED_HEAD_BYTES = 78      # of Settled, before its text
assert SETTLED_HEAD_BYTES + ENTRY_TEXT_BYTES <= sizeof(Settled) < (
    SETTLED_HEAD_BYTES + ENTRY_TEXT_BYTES + 8)


cdef inline uint64_t mixed(uint64_t word) noexcept nogil:
    word ^= word >> 32
    word *= <uint64_t>0xD6E8FEB86659FD93
    word ^= word >> 32
    word *= <uint64_t>0xD6E8FEB86659FD93
    return word ^ word >> 32


cdef uint64_t long_mark_of(const char* data, uint64_t length, uint64_t seed) noexcept nogil:
    """Tells texts apart that differ by accident or by damage; no defence against a forger."""
    cdef uint64_t word, result = seed ^ length
    while length >= 8:
        memcpy(&word, data, 8)
        result = mixed(result ^ word)
        data += 8
        length -= 8
    word = 0
    memcpy(&word, data, length)
    return mixed(result ^ word ^ length << 56)


cdef uint32_t mark_of(const char* data, uint32_t length) noexcept nogil:
    """32 bits of the same; never 0, which means that there is nothing."""
    cdef uint32_t mark = <uint32_t>long_mark_of(data, length, 0)
    return mark if mark else 1


cdef inline uint32_t pulse_check(const Entry* entry, const Pulse* pulse) noexcept nogil:
    cdef uint64_t seed
    memcpy(&seed, entry.call_id, 8)
    return <uint32_t>long_mark_of(<const char*>pulse, 12, seed) | 1


cdef void entry_pulse(Entry* entry, const uint8_t* call_id, uint32_t cseq, uint32_t nc,
                      uint32_t nonce_mark) noexcept nogil:
    cdef Pulse* pulse = &entry.pulses[entry.pulses[1].cseq < entry.pulses[0].cseq]
    memcpy(entry.call_id, call_id, 16)
    pulse.check = 0
    store_barrier()
    pulse.cseq = cseq
    pulse.nc = nc
    pulse.nonce_mark = nonce_mark
    store_barrier()
    pulse.check = pulse_check(entry, pulse)
    store_barrier()


cdef const Pulse* entry_last_pulse(const Entry* entry) noexcept nogil:
    cdef const Pulse* found = NULL
    cdef const Pulse* pulse
    cdef int at
    for at in range(2):
        pulse = &entry.pulses[at]
        if pulse.check and pulse.check == pulse_check(entry, pulse) and (
                found == NULL or pulse.cseq > found.cseq):
            found = pulse
    return found


cdef inline uint32_t settled_check(const Entry* entry) noexcept nogil:
    """Four sums at a time: one multiplication after the other would take four times as long."""
    cdef const Settled* settled = &entry.settled
    cdef uint64_t sums[4]
    cdef uint64_t words[4]
    cdef uint64_t used = (
        <uint64_t>settled.contact_length + settled.reason_length + settled.realm_length
        + settled.nonce_length + settled.opaque_length)
    cdef uint64_t length, at = 4
    cdef const char* data = <const char*>settled
    cdef int lane
    if used > ENTRY_TEXT_BYTES:
        return 0
    length = SETTLED_HEAD_BYTES + used
    memcpy(&sums[0], entry.call_id, 16)
    sums[2], sums[3] = sums[0] ^ length, sums[1] ^ length
    while at + 32 <= length:
        memcpy(words, data + at, 32)
        for lane in range(4):
            sums[lane] = (sums[lane] ^ words[lane]) * <uint64_t>0xD6E8FEB86659FD93
            sums[lane] ^= sums[lane] >> 32
        at += 32
    sums[0] = mixed(mixed(mixed(sums[0]) ^ sums[1]) ^ sums[2]) ^ sums[3]
    return <uint32_t>long_mark_of(data + at, length - at, sums[0]) | 1


cdef void entry_open(Entry* entry, const uint8_t* call_id) noexcept nogil:
    memcpy(entry.call_id, call_id, 16)
    entry.settled.check = 0
    store_barrier()


cdef void entry_close(Entry* entry) noexcept nogil:
    store_barrier()
    entry.settled.check = settled_check(entry)
    store_barrier()


cdef bint entry_is_whole(const Entry* entry) noexcept nogil:
    return entry.settled.check != 0 and entry.settled.check == settled_check(entry)


# --- for tests and tools ------------------------------------------------------------------------

cdef Entry entry_from(bytes raw) except *:
    cdef Entry entry
    if PyBytes_GET_SIZE(raw) != sizeof(Entry):
        raise ValueError(f"an entry has {sizeof(Entry)} bytes")
    memcpy(&entry, PyBytes_AS_STRING(raw), sizeof(Entry))
    return entry


def pulse(bytes entry not None, bytes call_id not None, uint32_t cseq, uint32_t nc,
          uint32_t nonce_mark=0):
    """See ledger.pyi."""
    cdef Entry made = entry_from(entry)
    if len(call_id) != 16:
        raise ValueError("a Call-ID has 16 bytes")
    entry_pulse(&made, <const uint8_t*>PyBytes_AS_STRING(call_id), cseq, nc, nonce_mark)
    return PyBytes_FromStringAndSize(<const char*>&made, sizeof(Entry))


def last_pulse(bytes entry not None):
    """See ledger.pyi."""
    cdef Entry made = entry_from(entry)
    cdef const Pulse* found = entry_last_pulse(&made)
    return None if found == NULL else (found.cseq, found.nc, found.nonce_mark)


def settle(bytes entry not None, bytes call_id not None, uint32_t cseq, uint32_t retries,
           bytes text not None):
    """See ledger.pyi."""
    cdef Entry made = entry_from(entry)
    if len(call_id) != 16 or len(text) > ENTRY_TEXT_BYTES:
        raise ValueError(f"a Call-ID has 16 bytes, the text at most {ENTRY_TEXT_BYTES}")
    entry_open(&made, <const uint8_t*>PyBytes_AS_STRING(call_id))
    memset(<char*>&made.settled + 4, 0, sizeof(Settled) - 4)
    made.settled.cseq, made.settled.retries = cseq, retries
    made.settled.contact_length = <uint16_t>len(text)
    memcpy(made.settled.text, PyBytes_AS_STRING(text), len(text))
    entry_close(&made)
    return PyBytes_FromStringAndSize(<const char*>&made, sizeof(Entry))


def is_whole(bytes entry not None):
    """See ledger.pyi."""
    cdef Entry made = entry_from(entry)
    return bool(entry_is_whole(&made))
