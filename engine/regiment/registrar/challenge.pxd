# Challenges with a nonce that needs no memory, and the check of credentials against them.
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from regiment.registrar.credentials cimport Credentials
from regiment.keyed cimport Key
from regiment.registrar.keyring cimport Keyring
from regiment.sip.field cimport Span
from regiment.sip.scanner cimport Message

cdef enum:
    USERNAME_BYTES = 256         # longer names are nobody's
    CACHED_URI_BYTES = 176

cdef struct Proof:
    # What verify() found out. nonce and nc count only with VERIFIED.
    char username[USERNAME_BYTES]
    uint32_t username_length
    uint64_t user_high, user_low
    uint64_t nonce               # its time and number, without the MAC
    uint32_t nc                  # 0: no qop, so none is given

cdef struct CachedUri:
    uint8_t algorithm
    uint32_t length
    char text[CACHED_URI_BYTES]
    uint8_t ha2[32]


@cython.final
cdef class Challenger:
    cdef Key nonce_key
    cdef Key name_key
    cdef object users            # users.Users
    cdef bytes realm
    cdef bytes opaque            # b"": none is sent and none is wanted
    cdef bint qop
    cdef int64_t lifetime_ms
    cdef uint32_t serial
    cdef int algorithm_count
    cdef int[3] algorithms       # response.Algorithm, in the order offered
    cdef list heads              # bytes of each challenge up to the nonce
    cdef list tails              # and behind it, without stale and CRLF
    cdef readonly Keyring known
    cdef CachedUri[8] uris

    # Room that write() needs at most.
    cdef uint32_t room(self) noexcept
    # The WWW-Authenticate lines with a fresh nonce; returns their length.
    cdef uint32_t write(self, char* out, int64_t now_ns, bint stale) noexcept
    # counts.Verdict on the credentials of a REGISTER; fills `proof`.
    cdef int verify(self, const char* data, const Message* message, int64_t now_ns,
                    Proof* proof) except -1
