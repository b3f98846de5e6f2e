# Secrets, and the challenges that they answer.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from regiment.keyed cimport Key

# One [auth] in memory. text: username, password, realm, then the HA1s of `digests` (raw, in the
# order of response.Algorithm).
cdef struct Credential:
    char* text
    uint16_t username_length, password_length, realm_length
    uint8_t digests        # bit per Algorithm for which text holds an HA1
    uint8_t algorithms     # bit per Algorithm that the lists allow
    uint16_t mark          # some bits of a keyed hash: tells that it was changed

# A challenge that was answered, kept for the next request (RFC 7616 3.4). One allocation:
# data: HA1 raw, realm, nonce, opaque (the last three as received, quoted-pairs still escaped).
cdef struct Nonce:
    Nonce* next
    uint32_t nc
    uint32_t mark          # tells its nonce from others
    uint8_t algorithm
    uint8_t is_proxy, has_qop
    uint8_t fresh          # the challenge came in the attempt that runs
    uint8_t used           # the request that is out carries an answer to it
    uint16_t realm_length, nonce_length, opaque_length
    uint32_t credential
    char data[1]

cdef class Keyring:
    cdef Credential* items
    cdef uint32_t count, capacity
    cdef Key mark_key
    cdef dict spare        # length of a run of credentials -> where such runs are free
    # A run for these [auth]s: its first index.
    cdef int64_t take(self, tuple auths) except -2
    cdef void give_back(self, uint32_t first, uint32_t count) noexcept
    cdef bint are(self, uint32_t first, tuple auths) except -1
    cdef int _grow(self, uint32_t more) except -1
    cdef int _fill(self, Credential* item, object auth) except -1
    # The credential among [first, first + count) for that realm and algorithm; -1: none.
    cdef int64_t find(self, uint32_t first, uint32_t count, const char* realm,
                      uint32_t realm_length, int algorithm) noexcept nogil
    cdef int ha1_into(self, uint32_t credential, int algorithm, const char* realm,
                      uint32_t realm_length, uint8_t* out) except -1
    cdef char* _add_digest(self, Credential* item, object auth, int number, char* at) except NULL

cdef uint32_t text_bytes(const Credential* item) noexcept nogil
cdef Nonce* nonce_new(const uint8_t* ha1, int ha1_length, const char* realm, uint32_t realm_length,
                      const char* nonce, uint32_t nonce_length, const char* opaque,
                      uint32_t opaque_length) except NULL
cdef void nonces_free(Nonce** head) noexcept nogil
cdef Nonce* nonce_find(Nonce* head, bint is_proxy, const char* realm,
                       uint32_t realm_length) noexcept nogil
cdef const char* nonce_realm(const Nonce* nonce) noexcept nogil
cdef const char* nonce_text(const Nonce* nonce) noexcept nogil
cdef const char* nonce_opaque(const Nonce* nonce) noexcept nogil
