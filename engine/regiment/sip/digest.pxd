# Digest access authentication for SIP (RFC 3261 22.4, RFC 7616, RFC 8760, RFC 2069 form).
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from regiment.sip.field cimport Text

# Raw digest sizes: MD5 16, SHA-256 and SHA-512-256 32 (0: no such algorithm).
cdef int digest_bytes(int algorithm) noexcept nogil
cdef void write_hex(char* out, const uint8_t* raw, int length) noexcept nogil
# -1: not lower/upper hex of that many bytes
cdef int read_hex(uint8_t* out, const char* text, int length) noexcept nogil

# The value of a quoted-string's inside: each quoted-pair as the byte it means (RFC 3261 25.1).
# `out` holds at least `length` bytes; returns how many were written.
cdef uint32_t unescape_into(char* out, const char* data, uint32_t length) noexcept nogil

# H(data) raw into out (>= 32 bytes); algorithm from response.Algorithm. One hashlib
# constructor call; ValueError: no such algorithm here.
cdef int hash_into(int algorithm, const char* data, Py_ssize_t length, uint8_t* out) except -1
# HA1 = H(username:realm:password), raw. All three unescaped.
cdef int ha1(int algorithm, const char* username, uint32_t username_length, const char* realm,
             uint32_t realm_length, const char* password, uint32_t password_length,
             uint8_t* out) except -1
# HA2 = H(method:uri), raw
cdef int ha2(int algorithm, const char* method, uint32_t method_length, const char* uri,
             uint32_t uri_length, uint8_t* out) except -1
# The response: with_qop: H(HA1:nonce:nc:cnonce:auth:HA2), else H(HA1:nonce:HA2); raw.
# nc is written as 8 hex digits (RFC 7616 3.4). The nonce goes in as received, still escaped.
cdef int response_into(int algorithm, const uint8_t* ha1_raw, const uint8_t* ha2_raw,
                       const char* nonce, uint32_t nonce_length, bint with_qop, uint32_t nc,
                       const char* cnonce, uint32_t cnonce_length, uint8_t* out) except -1

# One header line of credentials.
cdef struct Credentials:
    bint is_proxy            # Proxy-Authorization, else Authorization
    bint with_qop            # the challenge offered qop "auth": cnonce, qop and nc are written
    uint8_t algorithm        # as in the challenge; A_NONE: not written
    uint32_t nc
    const uint8_t* response  # raw, digest_bytes(algorithm) long
    Text username            # unescaped: quotes and backslashes are escaped here
    Text realm, nonce        # as received, still escaped
    Text opaque              # the same; empty: not written
    Text uri
    Text cnonce

# An upper bound of what credentials_into() writes.
cdef uint64_t credentials_bound(const Credentials* credentials) noexcept nogil
# Writes "Authorization: Digest …" CRLF with the parameters in Asterisk's order; returns its length,
# or -1: `room` is less than credentials_bound().
cdef int credentials_into(char* out, uint32_t room,
                          const Credentials* credentials) noexcept nogil
