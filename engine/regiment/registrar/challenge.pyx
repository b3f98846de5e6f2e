# cython: boundscheck=False, wraparound=False, cdivision=True
"""Digest challenges and the check of their answers (RFC 3261 section 22, RFC 7616, RFC 8760).

**The nonce needs no memory.** It is 16 hex digits of a number (44 bits of milliseconds, 20 bits of
a serial) and 16 hex digits of a keyed hash over that number. A nonce is ours if the hash is right,
and fresh by the time in it; so a million unanswered challenges cost nothing, and every process that
has the same seed takes the nonces of the others.

**One hash a check.** HA1 comes from the keyring once the user was verified, HA2 from a small cache
by digest-uri, so the response alone is hashed.

`stale=true` is only said to who answered with the right digest (RFC 7616 section 3.3): who cannot
know the password learns nothing about nonces.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from regiment import model
from regiment.errors import ConfigError
from regiment.sip.digest import is_supported

from regiment.registrar.counts cimport (
    FOREIGN,
    NO_CREDENTIALS,
    STALE,
    UNKNOWN_USER,
    UNREADABLE,
    VERIFIED,
    WRONG,
)
from regiment.registrar.credentials cimport Credentials, read_credentials
from regiment.keyed cimport derive_key, keyed_hash_128, keyed_word
from regiment.registrar.keyring cimport Keyring
from regiment.sip.digest cimport digest_bytes, ha1, ha2, read_hex, response_into, unescape_into
from regiment.sip.field cimport Span
from regiment.sip.response cimport A_MD5, A_NONE, A_SHA256, A_SHA512_256
from regiment.sip.scanner cimport H_AUTHORIZATION, Message, next_header

cdef enum:
    NONCE_BYTES = 32
    SERIAL_BITS = 20
    MAX_HEADERS = 16          # Authorization headers that are looked at
    SKEW_MS = 5000            # another process's clock may be ahead of ours by that

_NUMBERS = {
    model.MD5: A_MD5,
    model.SHA256: A_SHA256,
    model.SHA512_256: A_SHA512_256,
}
_NAMES = {number: name for name, number in _NUMBERS.items()}


cdef class Challenger:
    def __init__(self, users, str realm not None, tuple algorithms not None, bint qop, bint opaque,
                 int64_t lifetime_ns, seed):
        self.nonce_key = derive_key(seed, b"nonce")
        self.name_key = derive_key(seed, b"name")
        self.users = users
        self.realm = realm.encode()
        self.qop = qop
        self.lifetime_ms = lifetime_ns // 1_000_000
        self.known = Keyring()
        self.opaque = b""
        if opaque:
            self.opaque = b"%016x" % keyed_word(&self.name_key, 0)
        self.heads = []
        self.tails = []
        self.algorithm_count = 0
        for name in algorithms:
            if not is_supported(name):
                raise ConfigError(f"this OpenSSL knows no {name}")
            self.algorithms[self.algorithm_count] = _NUMBERS[name]
            self.algorithm_count += 1
            self.heads.append(b'WWW-Authenticate: Digest realm="%b", nonce="' % self.realm)
            tail = b'"'
            if opaque:
                tail += b', opaque="%b"' % self.opaque
            tail += b", algorithm=%b" % name.encode()
            if qop:
                tail += b', qop="auth"'
            self.tails.append(tail)

    cdef uint32_t room(self) noexcept:
        return self.algorithm_count * (<uint32_t>len(self.realm) + 192)

    cdef uint32_t write(self, char* out, int64_t now_ns, bint stale) noexcept:
        cdef char nonce[NONCE_BYTES]
        cdef bytes part
        cdef uint32_t at = 0
        cdef int i
        self.serial += 1
        _write_nonce(self, nonce, <uint64_t>(now_ns // 1_000_000))
        for i in range(self.algorithm_count):
            part = self.heads[i]
            memcpy(out + at, <const char*>part, len(part))
            at += <uint32_t>len(part)
            memcpy(out + at, nonce, NONCE_BYTES)
            at += NONCE_BYTES
            part = self.tails[i]
            memcpy(out + at, <const char*>part, len(part))
            at += <uint32_t>len(part)
            if stale:
                memcpy(out + at, b", stale=true", 12)
                at += 12
            memcpy(out + at, b"\r\n", 2)
            at += 2
        return at

    cdef int verify(self, const char* data, const Message* message, int64_t now_ns,
                    Proof* proof) except -1:
        cdef Credentials found
        cdef int verdict = _choose(self, data, message, &found)
        if verdict != VERIFIED:
            return verdict
        verdict = _check_form(self, data, &found, proof)
        if verdict != VERIFIED:
            return verdict
        verdict = _check_digest(self, data, message, &found, proof)
        if verdict != VERIFIED:
            return verdict
        proof.nc = found.nc if found.has_qop else 0
        return _check_nonce(self, data, found.nonce, now_ns, &proof.nonce)


cdef void _write_nonce(Challenger self, char* out, uint64_t now_ms) noexcept nogil:
    cdef uint64_t number = (now_ms << SERIAL_BITS) | (self.serial & ((1 << SERIAL_BITS) - 1))
    _write_word(out, number)
    _write_word(out + 16, keyed_word(&self.nonce_key, number))


cdef void _write_word(char* out, uint64_t word) noexcept nogil:
    cdef int i
    for i in range(15, -1, -1):
        out[i] = b"0123456789abcdef"[word & 15]
        word >>= 4


cdef int _read_word(const char* text, uint64_t* word) noexcept nogil:
    # only the spelling that we write: lower-case hex
    cdef uint64_t value = 0
    cdef int i
    for i in range(16):
        if c"0" <= text[i] <= c"9":
            value = (value << 4) | <uint64_t>(text[i] - c"0")
        elif c"a" <= text[i] <= c"f":
            value = (value << 4) | <uint64_t>(text[i] - c"a" + 10)
        else:
            return 0
    word[0] = value
    return 1


cdef int _choose(Challenger self, const char* data, const Message* message,
                 Credentials* found) noexcept:
    # The first Digest credentials for our realm; those for others are none of our business.
    cdef Span value = message.first[H_AUTHORIZATION]
    cdef uint32_t cursor = 0, seen = 0
    cdef Py_ssize_t realm_length = len(self.realm)
    cdef int result
    if message.count[H_AUTHORIZATION] == 0:
        return NO_CREDENTIALS
    while seen < MAX_HEADERS and seen < message.count[H_AUTHORIZATION]:
        # a single one, as nearly always, needs no search
        if message.count[H_AUTHORIZATION] > 1:
            next_header(data, message, H_AUTHORIZATION, &cursor, &value)
        seen += 1
        result = read_credentials(data, value, found)
        if result < 0:
            return UNREADABLE
        if result == 0 and found.realm.length == realm_length and memcmp(
                data + found.realm.start, <const char*>self.realm, realm_length) == 0:
            return VERIFIED
    return FOREIGN


cdef int _check_form(Challenger self, const char* data, Credentials* found, Proof* proof) noexcept:
    # What must be there, and what must be what we offered.
    cdef int i
    cdef Py_ssize_t opaque_length = len(self.opaque)
    if found.algorithm == A_NONE:
        found.algorithm = A_MD5
    for i in range(self.algorithm_count):
        if self.algorithms[i] == found.algorithm:
            break
    else:
        return FOREIGN
    if found.has_qop and not (found.qop_auth and found.has_nc and found.nc
                              and found.cnonce.length):
        return UNREADABLE
    if not found.nonce.length or not found.uri.length or not found.username.length:
        return UNREADABLE
    if found.username.length > USERNAME_BYTES:
        return UNREADABLE
    proof.username_length = unescape_into(
        proof.username, data + found.username.start, found.username.length)
    if opaque_length and (found.opaque.length != opaque_length or memcmp(
            data + found.opaque.start, <const char*>self.opaque, opaque_length) != 0):
        return FOREIGN
    return VERIFIED


cdef int _check_digest(Challenger self, const char* data, const Message* message,
                       Credentials* found, Proof* proof) except -1:
    cdef uint8_t given[32]
    cdef uint8_t wanted[32]
    cdef uint8_t computed[32]
    cdef const uint8_t* own
    cdef const uint8_t* hashed_uri
    cdef int size = digest_bytes(found.algorithm), i, difference = 0
    if found.response.length != <uint32_t>(2 * size):
        return WRONG
    if read_hex(given, data + found.response.start, size) < 0:
        return WRONG
    keyed_hash_128(&self.name_key, proof.username, proof.username_length,
                   &proof.user_high, &proof.user_low)
    own = self.known.find(proof.user_high, proof.user_low, found.algorithm)
    if own == NULL:
        memset(computed, 0, 32)
        if not _compute_ha1(self, found.algorithm, proof, computed):
            return UNKNOWN_USER
        own = computed
    hashed_uri = _cached_ha2(self, found.algorithm, data + found.uri.start, found.uri.length)
    response_into(found.algorithm, own, hashed_uri, data + found.nonce.start, found.nonce.length,
                  found.has_qop, found.nc, data + found.cnonce.start, found.cnonce.length, wanted)
    for i in range(size):
        difference |= given[i] ^ wanted[i]
    if difference:
        return WRONG
    if own == computed:
        self.known.keep(proof.user_high, proof.user_low, found.algorithm, computed)
    return VERIFIED


cdef bint _compute_ha1(Challenger self, int algorithm, Proof* proof, uint8_t* out) except -1:
    # 1: filled; 0: nobody of that name, or no secret for that algorithm
    cdef bytes name = proof.username[:proof.username_length]
    cdef bytes secret
    try:
        username = name.decode()
    except UnicodeDecodeError:
        return 0
    given = self.users.digest(username, _NAMES[algorithm])
    if given is not None:
        secret = given
        memcpy(out, <const char*>secret, digest_bytes(algorithm))
        return 1
    password = self.users.password(username)
    if password is None:
        return 0
    secret = password.encode()
    ha1(algorithm, <const char*>name, <uint32_t>len(name), <const char*>self.realm,
        <uint32_t>len(self.realm), <const char*>secret, <uint32_t>len(secret), out)
    return 1


cdef const uint8_t* _cached_ha2(Challenger self, int algorithm, const char* uri,
                                uint32_t length) except NULL:
    # All clients of one registrar write the same few digest-uris.
    cdef CachedUri* place = &self.uris[(length * 5 + <uint8_t>uri[length - 1] + algorithm) & 7]
    if place.algorithm == algorithm and place.length == length and memcmp(
            place.text, uri, length) == 0:
        return place.ha2
    place.algorithm = 0
    ha2(algorithm, b"REGISTER", 8, uri, length, place.ha2)
    if length <= CACHED_URI_BYTES:
        memcpy(place.text, uri, length)
        place.length = length
        place.algorithm = <uint8_t>algorithm
    return place.ha2


cdef int _check_nonce(Challenger self, const char* data, Span nonce, int64_t now_ns,
                      uint64_t* number) noexcept nogil:
    cdef uint64_t mac = 0
    cdef int64_t age_ms
    cdef const char* text = data + nonce.start
    if nonce.length != NONCE_BYTES:
        return STALE
    if not _read_word(text, number) or not _read_word(text + 16, &mac):
        return STALE
    if keyed_word(&self.nonce_key, number[0]) != mac:
        return STALE
    age_ms = now_ns // 1_000_000 - <int64_t>(number[0] >> SERIAL_BITS)
    if age_ms < -SKEW_MS or age_ms >= self.lifetime_ms:
        return STALE
    return VERIFIED
