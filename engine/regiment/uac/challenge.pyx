"""Answers to 401 and 407 (RFC 3261 sections 22.2 and 22.3, RFC 7616, RFC 8760).

Credentials made in this attempt for the realm that is challenged again are rejected credentials,
unless the challenge says `stale=true`; credentials from a cached nonce are answered once; a new
realm, or 407 before 401, is a new challenge. Of several challenges of one realm the topmost that we
can answer counts (RFC 8760 2.4).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdlib cimport free
from libc.string cimport memcmp

from regiment.sip.digest cimport (
    Credentials, credentials_into, digest_bytes, response_into, unescape_into,
)
from regiment.sip.response cimport (
    A_MD5, A_NONE, A_SHA512_256, A_UNKNOWN, AuthenticationInfo, Challenge, read_authentication_info,
    read_challenge,
)
from regiment.sip.scanner cimport (
    H_AUTHENTICATION_INFO, H_PROXY_AUTHENTICATE, H_WWW_AUTHENTICATE, Span, next_header,
)
from regiment.uac.credentials cimport (
    Nonce, nonce_find, nonce_new, nonce_opaque, nonce_realm, nonce_text,
)
from regiment.uac.policy cimport ROUNDS_MAX

from regiment.sip import digest

# An OpenSSL may lack it; a challenge that wants it is then skipped like an unknown one.
cdef bint HAS_SHA512_256 = digest.is_supported("SHA-512-256")

cdef enum:
    REALM_BYTES_MAX = 512
    NONCE_BYTES_MAX = 2048
    REALMS_MAX = 8
    HELD_MAX = 4                 # credentials held before cached ones make room for a new realm
    CREDENTIALS_BYTES = 256      # names, quotes, hashes, cnonce, nc of one header line


cdef bint usable(const Challenge* challenge) noexcept nogil:
    if not challenge.is_digest or challenge.algorithm == A_UNKNOWN:
        return False
    if challenge.algorithm == A_SHA512_256 and not HAS_SHA512_256:
        return False
    if challenge.has_qop and not challenge.qop_auth:
        return False
    if challenge.realm.length > REALM_BYTES_MAX or challenge.opaque.length > NONCE_BYTES_MAX:
        return False
    return 0 < challenge.nonce.length <= NONCE_BYTES_MAX


cdef Nonce* make_nonce(Population population, const char* data, const Challenge* challenge,
                       uint32_t credential, const char* realm, uint32_t realm_length,
                       bint is_proxy) except NULL:
    """`realm` without quoted-pairs, as it goes into the hash."""
    cdef unsigned char ha1[32]
    cdef int algorithm = A_MD5 if challenge.algorithm == A_NONE else challenge.algorithm
    cdef Nonce* nonce
    population.keyring.ha1_into(credential, algorithm, realm, realm_length, ha1)
    nonce = nonce_new(
        ha1, digest_bytes(algorithm), data + challenge.realm.start, challenge.realm.length,
        data + challenge.nonce.start, challenge.nonce.length,
        data + challenge.opaque.start, challenge.opaque.length)
    nonce.algorithm = challenge.algorithm
    nonce.is_proxy = is_proxy
    nonce.has_qop = challenge.has_qop
    nonce.credential = credential
    nonce.fresh = True
    return nonce


cdef void replace(Record* record, Nonce* old, Nonce* new) noexcept nogil:
    cdef Nonce** link = &record.nonce
    while link[0] != NULL and link[0] != old:
        link = &link[0].next
    if link[0] != NULL:
        new.next = old.next
        free(old)
    link[0] = new


cdef uint32_t held(const Record* record) noexcept nogil:
    cdef uint32_t count = 0
    cdef const Nonce* nonce = record.nonce
    while nonce != NULL:
        count += 1
        nonce = nonce.next
    return count


cdef bint drop_cached(Record* record) noexcept nogil:
    """Forgets the oldest nonce of an earlier attempt; False: there is none."""
    cdef Nonce** link = &record.nonce
    cdef Nonce* dropped
    while link[0] != NULL and link[0].fresh:
        link = &link[0].next
    if link[0] == NULL:
        return False
    dropped = link[0]
    link[0] = dropped.next
    free(dropped)
    return True


cdef bint make_room(Record* record) noexcept nogil:
    """A registrar with ever new realms makes no request of ours, and no record, grow for ever."""
    while held(record) >= HELD_MAX and drop_cached(record):
        pass
    return held(record) < REALMS_MAX


cdef int take_challenge(Population population, Record* record, const char* data,
                        const Challenge* challenge, bint is_proxy, Span* seen, int* seen_count,
                        bint* cached_refused) except -1:
    """One challenge of a response: ANSWERED, STALE_ANSWERED, REJECTED or NO_CREDENTIALS."""
    cdef char realm[REALM_BYTES_MAX]
    cdef uint32_t realm_length
    cdef int64_t credential
    cdef Nonce* old
    cdef Nonce* new
    cdef int algorithm = A_MD5 if challenge.algorithm == A_NONE else challenge.algorithm
    cdef int at
    for at in range(seen_count[0]):
        if same_span(data, seen[at], challenge.realm):
            return NO_CREDENTIALS
    realm_length = unescape_into(
        realm, data + challenge.realm.start, challenge.realm.length)
    credential = population.keyring.find(
        record.credential, record.credentials, realm, realm_length, algorithm)
    if credential < 0 or seen_count[0] == REALMS_MAX:
        return NO_CREDENTIALS
    seen[seen_count[0]] = challenge.realm
    seen_count[0] += 1
    old = nonce_find(record.nonce, is_proxy, data + challenge.realm.start,
                     challenge.realm.length)
    if old != NULL and old.used and not challenge.stale:
        if old.fresh:
            return REJECTED
        cached_refused[0] = True
    if old == NULL and not make_room(record):
        return NO_CREDENTIALS
    new = make_nonce(population, data, challenge, <uint32_t>credential, realm, realm_length,
                     is_proxy)
    if old != NULL and same_nonce(old, new):      # RFC 7616 3.4: no nc twice with one nonce
        new.nc = old.nc
    elif new.mark == record.last_mark:            # even if it was forgotten meanwhile
        new.nc = record.last_nc
    replace(record, old, new)
    return STALE_ANSWERED if challenge.stale else ANSWERED


cdef bint same_nonce(const Nonce* a, const Nonce* b) noexcept nogil:
    return a.nonce_length == b.nonce_length and memcmp(
        nonce_text(a), nonce_text(b), a.nonce_length) == 0


cdef bint same_span(const char* data, Span a, Span b) noexcept nogil:
    cdef uint32_t at
    if a.length != b.length:
        return False
    for at in range(a.length):
        if data[a.start + at] != data[b.start + at]:
            return False
    return True


cdef int take_challenges(Population population, Record* record, const char* data,
                         const Message* message, bint* cached_refused) except -1:
    cdef bint is_proxy = message.status == 407
    cdef int header = H_PROXY_AUTHENTICATE if is_proxy else H_WWW_AUTHENTICATE
    cdef Span seen[REALMS_MAX]
    cdef int seen_count = 0
    cdef int verdict, result = NO_CREDENTIALS
    cdef Challenge challenge
    cdef Span value = message.first[header]
    cdef uint32_t cursor = 0
    cdef uint32_t left = message.count[header]
    cached_refused[0] = False
    while left:
        left -= 1
        if message.count[header] > 1 and not next_header(data, message, header, &cursor, &value):
            break
        if read_challenge(data, value, &challenge) != 0 or not usable(&challenge):
            continue
        if record.rounds >= ROUNDS_MAX:
            return TOO_MANY_ROUNDS
        verdict = take_challenge(population, record, data, &challenge, is_proxy, seen,
                                 &seen_count, cached_refused)
        if verdict == REJECTED:
            return REJECTED
        if verdict == STALE_ANSWERED or verdict == ANSWERED and result != STALE_ANSWERED:
            result = verdict
    return result


cdef uint32_t credentials_bound(Population population, const Record* record,
                                PolicyState policy) noexcept:
    cdef uint32_t total = 0
    cdef const Nonce* nonce = record.nonce
    while nonce != NULL:
        total += CREDENTIALS_BYTES + nonce.realm_length + nonce.nonce_length + nonce.opaque_length
        total += 2 * population.keyring.items[nonce.credential].username_length
        total += <uint32_t>len(policy.request_uri)
        nonce = nonce.next
    return total


cdef int write_credentials(Population population, const Record* record, PolicyState policy,
                           char* out, uint32_t room) except -2:
    """One hash a line. The cnonce follows from the transaction's salt, so that a retransmission
    is the same to the byte."""
    cdef const Nonce* nonce = record.nonce
    cdef char cnonce[16]
    cdef unsigned char response[32]
    cdef int algorithm, length
    cdef int total = 0
    write_cnonce(cnonce, record.salt)
    while nonce != NULL:
        if nonce.used:
            algorithm = A_MD5 if nonce.algorithm == A_NONE else nonce.algorithm
            policy.need_ha2(algorithm)
            response_into(
                algorithm, <const unsigned char*>nonce.data, policy.ha2[algorithm],
                nonce_text(nonce), nonce.nonce_length, nonce.has_qop, nonce.nc, cnonce, 16,
                response)
            length = write_line(population, nonce, policy, cnonce, response, out + total,
                                room - total)
            if length < 0:
                return -1
            total += length
        nonce = nonce.next
    return total


cdef int write_line(Population population, const Nonce* nonce, PolicyState policy,
                    const char* cnonce, const unsigned char* response, char* out,
                    uint32_t room) noexcept:
    cdef Credentials line
    cdef bytes uri = policy.request_uri
    line.is_proxy, line.with_qop, line.algorithm = nonce.is_proxy, nonce.has_qop, nonce.algorithm
    line.nc, line.response = nonce.nc, response
    line.username.data = population.keyring.items[nonce.credential].text
    line.username.length = population.keyring.items[nonce.credential].username_length
    line.realm.data, line.realm.length = nonce_realm(nonce), nonce.realm_length
    line.nonce.data, line.nonce.length = nonce_text(nonce), nonce.nonce_length
    line.opaque.data, line.opaque.length = nonce_opaque(nonce), nonce.opaque_length
    line.uri.data, line.uri.length = PyBytes_AS_STRING(uri), <uint32_t>PyBytes_GET_SIZE(uri)
    line.cnonce.data, line.cnonce.length = cnonce, 16
    return credentials_into(out, room, &line)


cdef void write_cnonce(char* out, unsigned long long salt) noexcept nogil:
    """16 hex digits that do not show the salt, which stands in the branch."""
    cdef unsigned long long mixed = salt * 0x9E3779B97F4A7C15ULL
    cdef int at
    mixed ^= mixed >> 29
    mixed *= 0xBF58476D1CE4E5B9ULL
    mixed ^= mixed >> 32
    for at in range(16):
        out[at] = b"0123456789abcdef"[mixed & 15]
        mixed >>= 4


cdef int take_authentication_info(Record* record, const char* data,
                                  const Message* message) except -1:
    cdef AuthenticationInfo info
    cdef Nonce* held = record.nonce
    cdef Nonce* nonce
    cdef Nonce* new
    if message.count[H_AUTHENTICATION_INFO] == 0 or held == NULL:
        return 0
    if read_authentication_info(data, message.first[H_AUTHENTICATION_INFO], &info) != 0:
        return 0
    if not 0 < info.nextnonce.length <= NONCE_BYTES_MAX:
        return 0
    nonce = NULL
    while held != NULL:
        if held.used and not held.is_proxy:
            if nonce != NULL:          # two realms: the header does not say whose nonce it is
                return 0
            nonce = held
        held = held.next
    if nonce == NULL:
        return 0
    new = nonce_new(
        <const unsigned char*>nonce.data, digest_bytes(nonce.algorithm), nonce_realm(nonce),
        nonce.realm_length, data + info.nextnonce.start, info.nextnonce.length,
        nonce_opaque(nonce), nonce.opaque_length)
    new.algorithm, new.is_proxy, new.has_qop = nonce.algorithm, False, nonce.has_qop
    new.credential = nonce.credential
    if same_nonce(nonce, new):
        new.nc = nonce.nc
    replace(record, nonce, new)
    return 0
