"""Secrets, and the challenges that they answer (RFC 3261 section 22, RFC 7616, RFC 8760)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from regiment.keyed cimport keyed_hash
from regiment.sip.digest cimport digest_bytes, ha1, read_hex
from regiment.sip.response cimport A_MD5, A_SHA256, A_SHA512_256
from regiment.uac.ledger cimport mark_of

from regiment.errors import LocalError
from regiment import model

cdef dict NUMBERS = {
    model.MD5: <int>A_MD5,
    model.SHA256: <int>A_SHA256,
    model.SHA512_256: <int>A_SHA512_256,
}


cdef inline char lower(char c) noexcept nogil:
    return c + 32 if 65 <= c <= 90 else c


cdef bint same_text(const char* a, const char* b, uint32_t length) noexcept nogil:
    """Realms are compared without regard to case, as Asterisk does."""
    cdef uint32_t at
    for at in range(length):
        if lower(a[at]) != lower(b[at]):
            return False
    return True


cdef uint32_t text_bytes(const Credential* item) noexcept nogil:
    cdef uint32_t length = item.username_length + item.password_length + item.realm_length
    cdef int number
    for number in range(A_MD5, A_SHA512_256 + 1):
        if item.digests >> number & 1:
            length += digest_bytes(number)
    return length


cdef void wipe(Credential* item) noexcept nogil:
    """The text is gone from memory, and the place free."""
    if item.text != NULL:
        memset(item.text, 0, text_bytes(item))
        free(item.text)
    memset(item, 0, sizeof(Credential))


cdef class Keyring:
    """The `[auth]` objects of an engine's registrations, in one block."""

    def __dealloc__(self):
        cdef uint32_t at
        for at in range(self.count):
            free(self.items[at].text)
        free(self.items)

    def __cinit__(self):
        self.spare = {}

    cdef int64_t take(self, tuple auths) except -2:
        cdef uint32_t first, at, length = <uint32_t>len(auths)
        cdef list free_runs
        if length == 0:
            return 0
        free_runs = self.spare.get(length)
        if free_runs:
            first = free_runs.pop()
        else:
            self._grow(length)
            first = self.count
            memset(&self.items[first], 0, length * sizeof(Credential))
            self.count += length
        try:
            for at in range(length):
                self._fill(&self.items[first + at], auths[at])
        except BaseException:
            self.give_back(first, length)
            raise
        return first

    cdef void give_back(self, uint32_t first, uint32_t count) noexcept:
        """A run that nobody needs any more; its secrets are wiped."""
        cdef uint32_t at
        if count == 0:
            return
        for at in range(first, first + count):
            wipe(&self.items[at])
        self.spare.setdefault(count, []).append(first)

    cdef bint are(self, uint32_t first, tuple auths) except -1:
        """These very [auth]s stand there."""
        cdef Credential made
        cdef Credential* item
        cdef uint32_t at
        cdef bint same = True
        for at in range(<uint32_t>len(auths)):
            memset(&made, 0, sizeof(Credential))
            self._fill(&made, auths[at])
            item = &self.items[first + at]
            same = same and (
                made.username_length == item.username_length
                and made.password_length == item.password_length
                and made.realm_length == item.realm_length and made.digests == item.digests
                and made.algorithms == item.algorithms
                and memcmp(made.text, item.text, text_bytes(item)) == 0)
            wipe(&made)
        return same

    cdef int _grow(self, uint32_t more) except -1:
        cdef uint64_t capacity = self.capacity
        cdef Credential* items
        if self.count + more > capacity:
            capacity = max(capacity + capacity // 8, <uint64_t>self.count + more + 16)
            items = <Credential*>realloc(self.items, capacity * sizeof(Credential))
            if items == NULL:
                raise MemoryError
            self.items, self.capacity = items, <uint32_t>capacity
        return 0

    cdef int _fill(self, Credential* item, object auth) except -1:
        """`item` is all zero."""
        cdef bytes username = auth.username.encode("utf-8", "surrogateescape")
        cdef bytes password = auth.password.encode("utf-8", "surrogateescape")
        cdef bytes realm = b"" if auth.realm == "*" else auth.realm.encode(
            "utf-8", "surrogateescape")
        cdef Py_ssize_t lengths = len(username) + len(password) + len(realm)
        cdef char* at
        cdef int number
        if max(len(username), len(password), len(realm)) > 65535:
            raise LocalError(f"[{auth.name}] has a value longer than 65535 bytes")
        for name, number in NUMBERS.items():
            if not auth.algorithms or name in auth.algorithms:
                item.algorithms |= 1 << number
            if name in auth.digests:
                lengths += digest_bytes(number)
        item.text = <char*>malloc(lengths if lengths else 1)
        if item.text == NULL:
            raise MemoryError
        item.username_length = <uint16_t>PyBytes_GET_SIZE(username)
        item.password_length = <uint16_t>PyBytes_GET_SIZE(password)
        item.realm_length = <uint16_t>PyBytes_GET_SIZE(realm)
        at = item.text
        for part in (username, password, realm):
            memcpy(at, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
            at += PyBytes_GET_SIZE(part)
        for number in range(A_MD5, A_SHA512_256 + 1):
            at = self._add_digest(item, auth, number, at)
        item.mark = <uint16_t>keyed_hash(&self.mark_key, item.text, text_bytes(item))
        return 0

    cdef char* _add_digest(self, Credential* item, object auth, int number, char* at) except NULL:
        cdef bytes digest
        for name in NUMBERS:
            if NUMBERS[name] == number and name in auth.digests:
                digest = auth.digests[name].encode("ascii", "replace")
                if len(digest) != 2 * digest_bytes(number) or read_hex(
                        <uint8_t*>at, digest, digest_bytes(number)) != 0:
                    raise LocalError(f"[{auth.name}] has a {name} digest that is not hex")
                item.digests |= 1 << number
                at += digest_bytes(number)
        return at

    cdef int64_t find(self, uint32_t first, uint32_t count, const char* realm,
                      uint32_t realm_length, int algorithm) noexcept nogil:
        """The first with an equal realm, else the first for any realm (asterisk-like choice)."""
        cdef int64_t wildcard = -1
        cdef uint32_t at
        cdef Credential* item
        for at in range(first, first + count):
            item = &self.items[at]
            if not item.algorithms >> algorithm & 1:
                continue
            if not item.digests >> algorithm & 1 and item.password_length == 0:
                continue
            if item.realm_length == 0:
                if wildcard < 0:
                    wildcard = at
            elif item.realm_length == realm_length and same_text(
                    item.text + item.username_length + item.password_length, realm, realm_length):
                return at
        return wildcard

    cdef int ha1_into(self, uint32_t credential, int algorithm, const char* realm,
                      uint32_t realm_length, uint8_t* out) except -1:
        """A stored digest beats the password."""
        cdef Credential* item = &self.items[credential]
        cdef char* at
        cdef int number
        if item.digests >> algorithm & 1:
            at = item.text + item.username_length + item.password_length + item.realm_length
            for number in range(A_MD5, algorithm):
                if item.digests >> number & 1:
                    at += digest_bytes(number)
            memcpy(out, at, digest_bytes(algorithm))
            return 0
        return ha1(algorithm, item.text, item.username_length, realm, realm_length,
                   item.text + item.username_length, item.password_length, out)


cdef Nonce* nonce_new(const uint8_t* ha1_raw, int ha1_length, const char* realm,
                      uint32_t realm_length, const char* nonce, uint32_t nonce_length,
                      const char* opaque, uint32_t opaque_length) except NULL:
    cdef Nonce* item = <Nonce*>malloc(
        sizeof(Nonce) + ha1_length + realm_length + nonce_length + opaque_length)
    cdef char* at
    if item == NULL:
        raise MemoryError
    memset(item, 0, sizeof(Nonce))
    item.realm_length = <uint16_t>realm_length
    item.nonce_length = <uint16_t>nonce_length
    item.opaque_length = <uint16_t>opaque_length
    item.mark = mark_of(nonce, nonce_length)
    at = item.data
    memcpy(at, ha1_raw, ha1_length)
    at += ha1_length
    memcpy(at, realm, realm_length)
    at += realm_length
    memcpy(at, nonce, nonce_length)
    at += nonce_length
    memcpy(at, opaque, opaque_length)
    return item


cdef void nonces_free(Nonce** head) noexcept nogil:
    cdef Nonce* item = head[0]
    cdef Nonce* following
    while item != NULL:
        following = item.next
        free(item)
        item = following
    head[0] = NULL


cdef const char* nonce_realm(const Nonce* nonce) noexcept nogil:
    return nonce.data + digest_bytes(nonce.algorithm)


cdef const char* nonce_text(const Nonce* nonce) noexcept nogil:
    return nonce_realm(nonce) + nonce.realm_length


cdef const char* nonce_opaque(const Nonce* nonce) noexcept nogil:
    return nonce_text(nonce) + nonce.nonce_length


cdef Nonce* nonce_find(Nonce* head, bint is_proxy, const char* realm,
                       uint32_t realm_length) noexcept nogil:
    while head != NULL:
        if head.is_proxy == is_proxy and head.realm_length == realm_length and memcmp(
                nonce_realm(head), realm, realm_length) == 0:
            return head
        head = head.next
    return NULL
