# What outlives the process: one entry a registration in memory that somebody else keeps (a file).
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    ENTRY_BYTES = 320
    ENTRY_TEXT_BYTES = 192

# CSeq and nc of the last request, written before it leaves. The older of two is written over, so
# that the last one stays whole meanwhile.
cdef struct Pulse:
    uint32_t cseq
    uint32_t nc
    uint32_t nonce_mark          # of the nonce that nc counts for; 0: no credentials
    uint32_t check

# What the last final response led to. Times are of the wall clock.
cdef struct Settled:
    uint32_t check               # over what follows, as far as it is used, and the Call-ID
    uint32_t cseq
    int64_t expires_ns           # when the binding lapses; 0: none is known
    int64_t due_ns               # the next attempt; 0: none is planned
    int64_t failing_ns
    uint64_t place_mark          # of the AOR and of where it registers
    uint32_t granted_s, requested_s, retries, settings_mark
    uint32_t nonce_mark
    uint16_t code
    uint8_t state, failure_class
    uint8_t is_held
    uint8_t algorithm, nonce_flags       # 1: there is one; 2: proxy; 4: qop
    uint8_t credential                   # which of the registration's own
    uint16_t contact_length, reason_length, realm_length, nonce_length, opaque_length
    char text[ENTRY_TEXT_BYTES]  # contact, realm, nonce, opaque, reason, end to end: what has room

cdef struct Entry:
    uint8_t call_id[16]
    Pulse pulses[2]
    Settled settled

# Stands in the place of the first entry.
cdef struct Head:
    uint64_t cseq_high           # no request of any registration had a higher CSeq

cdef void entry_pulse(Entry* entry, const uint8_t* call_id, uint32_t cseq, uint32_t nc,
                      uint32_t nonce_mark) noexcept nogil
# The newest pulse that is whole; NULL: there is none.
cdef const Pulse* entry_last_pulse(const Entry* entry) noexcept nogil
# Between these two nobody may take `settled` for whole.
cdef void entry_open(Entry* entry, const uint8_t* call_id) noexcept nogil
cdef void entry_close(Entry* entry) noexcept nogil
cdef bint entry_is_whole(const Entry* entry) noexcept nogil
cdef uint32_t mark_of(const char* data, uint32_t length) noexcept nogil
cdef uint64_t long_mark_of(const char* data, uint64_t length, uint64_t seed) noexcept nogil
