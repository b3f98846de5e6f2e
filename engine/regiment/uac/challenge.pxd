# Answers to 401 and 407.
from libc.stdint cimport int64_t, uint32_t
from regiment.sip.scanner cimport Message
from regiment.uac.registration cimport PolicyState, Population, Record

cdef enum Answer:
    ANSWERED = 0           # in the order of catalogue.CHALLENGE_RESULTS
    STALE_ANSWERED
    NO_CREDENTIALS
    REJECTED
    TOO_MANY_ROUNDS

# Takes the challenges of a 401/407; ANSWERED and STALE_ANSWERED: the record's nonces are ready for
# the next request. *cached_refused: a nonce from an earlier attempt was refused without stale.
cdef int take_challenges(Population population, Record* record, const char* data,
                         const Message* message, bint* cached_refused) except -1
# An upper bound of what write_credentials writes.
cdef uint32_t credentials_bound(Population population, const Record* record,
                                PolicyState policy) noexcept
# The header lines for the record's nonces that are in use; their length, -1: `room` is too small.
cdef int write_credentials(Population population, const Record* record, PolicyState policy,
                           char* out, uint32_t room) except -2
# A 2xx to a request with credentials: takes `nextnonce` along (RFC 7616 3.5).
cdef int take_authentication_info(Record* record, const char* data,
                                  const Message* message) except -1
