"""Digest access authentication: see digest.pyi and digest.pxd.

The hashes come from CPython's own constructors, so that nothing here needs OpenSSL's headers on
the user's machine. Which one serves an algorithm was measured (bench/micro/sip.py).
"""
import hashlib

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, strlen

from regiment.sip.response cimport A_MD5, A_NONE, A_SHA256, A_SHA512_256

try:
    # the interpreter's own MD5: faster for short input, and there in FIPS mode too, in which
    # OpenSSL has none; RFC 3261 registrars ask for it all the same
    from _md5 import md5 as _md5_constructor
except ImportError:
    def _md5_constructor(data):
        return hashlib.md5(data, usedforsecurity=False)

from regiment.sip.response import ALGORITHMS as _ALGORITHMS

cdef enum:
    LARGEST_DIGEST_BYTES = 32
    # of a credentials line: names, quotes and separators at their longest, response and nc
    FIXED_LINE_BYTES = 220
    NO_DIGIT = 0x10                # in NIBBLES: no hexadecimal digit

cdef object new_md5 = _md5_constructor
cdef object new_sha256 = hashlib.sha256
cdef object sha512_256_seed        # copied for each use: three times as fast as hashlib.new()
cdef char[512] PAIRS               # the two hexadecimal digits of every byte
cdef uint8_t[256] NIBBLES

try:
    sha512_256_seed = hashlib.new("sha512_256")
except ValueError:
    sha512_256_seed = None         # an OpenSSL without it


def _fill_tables():
    cdef int code
    cdef bytes pairs = b"".join(b"%02x" % number for number in range(256))
    memcpy(PAIRS, <const char*>pairs, sizeof(PAIRS))
    for code in range(256):
        NIBBLES[code] = NO_DIGIT
    for digit in "0123456789abcdefABCDEF":
        NIBBLES[<int>ord(digit)] = <uint8_t>int(digit, 16)


_fill_tables()


cdef int digest_bytes(int algorithm) noexcept nogil:
    if algorithm == A_NONE or algorithm == A_MD5:
        return 16
    return 32 if algorithm == A_SHA256 or algorithm == A_SHA512_256 else 0


cdef void write_hex(char* out, const uint8_t* raw, int length) noexcept nogil:
    cdef int i
    for i in range(length):
        memcpy(out + 2 * i, PAIRS + 2 * raw[i], 2)


cdef int read_hex(uint8_t* out, const char* text, int length) noexcept nogil:
    cdef int i
    cdef uint8_t high, low, all_bits = 0
    for i in range(length):
        high = NIBBLES[<uint8_t>text[2 * i]]
        low = NIBBLES[<uint8_t>text[2 * i + 1]]
        all_bits |= high | low
        out[i] = (high << 4) | (low & 15)
    return -1 if all_bits & NO_DIGIT else 0


cdef uint32_t unescape_into(char* out, const char* data, uint32_t length) noexcept nogil:
    cdef uint32_t i = 0, written = 0
    while i < length:
        if data[i] == c'\\' and i + 1 < length:
            i += 1
        out[written] = data[i]
        written += 1
        i += 1
    return written


cdef int hash_bytes(int algorithm, bytes data, uint8_t* out) except -1:
    cdef bytes raw
    if algorithm == A_NONE or algorithm == A_MD5:
        raw = new_md5(data).digest()
    elif algorithm == A_SHA256:
        raw = new_sha256(data).digest()
    elif algorithm == A_SHA512_256 and sha512_256_seed is not None:
        state = sha512_256_seed.copy()
        state.update(data)
        raw = state.digest()
    else:
        raise ValueError(f"no such digest algorithm here: {algorithm}")
    memcpy(out, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
    return 0


cdef int hash_into(int algorithm, const char* data, Py_ssize_t length, uint8_t* out) except -1:
    return hash_bytes(algorithm, PyBytes_FromStringAndSize(data, length), out)


# Joins pieces with ":" into one new bytes object, each copied once.
cdef inline char* put(char* out, const char* data, uint32_t length) noexcept nogil:
    memcpy(out, data, length)
    return out + length


cdef inline char* put_colon(char* out, const char* data, uint32_t length) noexcept nogil:
    out[0] = c':'
    memcpy(out + 1, data, length)
    return out + 1 + length


cdef int ha1(int algorithm, const char* username, uint32_t username_length, const char* realm,
             uint32_t realm_length, const char* password, uint32_t password_length,
             uint8_t* out) except -1:
    cdef bytes text = PyBytes_FromStringAndSize(
        NULL, <Py_ssize_t>username_length + realm_length + password_length + 2)
    cdef char* p = put(PyBytes_AS_STRING(text), username, username_length)
    p = put_colon(p, realm, realm_length)
    put_colon(p, password, password_length)
    return hash_bytes(algorithm, text, out)


cdef int ha2(int algorithm, const char* method, uint32_t method_length, const char* uri,
             uint32_t uri_length, uint8_t* out) except -1:
    cdef bytes text = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>method_length + uri_length + 1)
    put_colon(put(PyBytes_AS_STRING(text), method, method_length), uri, uri_length)
    return hash_bytes(algorithm, text, out)


cdef int response_into(int algorithm, const uint8_t* ha1_raw, const uint8_t* ha2_raw,
                       const char* nonce, uint32_t nonce_length, bint with_qop, uint32_t nc,
                       const char* cnonce, uint32_t cnonce_length, uint8_t* out) except -1:
    cdef int size = digest_bytes(algorithm)
    cdef Py_ssize_t length = 4 * size + 2 + <Py_ssize_t>nonce_length
    cdef char* p
    cdef bytes text
    if with_qop:
        length += 1 + 8 + 1 + <Py_ssize_t>cnonce_length + 5
    text = PyBytes_FromStringAndSize(NULL, length)
    p = PyBytes_AS_STRING(text)
    write_hex(p, ha1_raw, size)
    p = put_colon(p + 2 * size, nonce, nonce_length)
    if with_qop:
        p[0] = c':'
        p = put_colon(put_count(p + 1, nc), cnonce, cnonce_length)
        p = put_colon(p, b"auth", 4)
    p[0] = c':'
    write_hex(p + 1, ha2_raw, size)
    return hash_bytes(algorithm, text, out)


# --- the header line ----------------------------------------------------------------------------

cdef inline char* put_word(char* out, const char* word) noexcept nogil:
    return put(out, word, <uint32_t>strlen(word))


cdef inline char* put_quoted(char* out, const char* name, const Text* value) noexcept nogil:
    out = put(put_word(out, name), value.data, value.length)
    out[0] = c'"'
    return out + 1


# The inside of a quoted-string (RFC 3261 25.1) for a value that is not one yet.
cdef inline char* put_escaped(char* out, const Text* value) noexcept nogil:
    cdef uint32_t i
    for i in range(value.length):
        if value.data[i] == c'"' or value.data[i] == c'\\':
            out[0] = c'\\'
            out += 1
        out[0] = value.data[i]
        out += 1
    return out


cdef inline char* put_count(char* out, uint32_t nc) noexcept nogil:
    cdef uint8_t[4] count
    count = [nc >> 24, (nc >> 16) & 0xff, (nc >> 8) & 0xff, nc & 0xff]
    write_hex(out, count, 4)
    return out + 8


cdef uint64_t credentials_bound(const Credentials* credentials) noexcept nogil:
    return (FIXED_LINE_BYTES + 2 * <uint64_t>credentials.username.length
            + credentials.realm.length + credentials.nonce.length + credentials.uri.length
            + credentials.opaque.length + credentials.cnonce.length)


cdef int credentials_into(char* out, uint32_t room,
                          const Credentials* credentials) noexcept nogil:
    cdef char* p = out
    cdef int size = digest_bytes(credentials.algorithm)
    if credentials_bound(credentials) > room:
        return -1
    if credentials.is_proxy:
        p = put_word(p, b"Proxy-")
    p = put_word(p, b"Authorization: Digest username=\"")
    p = put_escaped(p, &credentials.username)
    p = put_quoted(p, b"\", realm=\"", &credentials.realm)
    p = put_quoted(p, b", nonce=\"", &credentials.nonce)
    p = put_quoted(p, b", uri=\"", &credentials.uri)
    p = put_word(p, b", response=\"")
    write_hex(p, credentials.response, size)
    p = put_word(p + 2 * size, b"\"")
    if credentials.algorithm == A_MD5:
        p = put_word(p, b", algorithm=MD5")
    elif credentials.algorithm == A_SHA256:
        p = put_word(p, b", algorithm=SHA-256")
    elif credentials.algorithm == A_SHA512_256:
        p = put_word(p, b", algorithm=SHA-512-256")
    if credentials.with_qop:
        p = put_quoted(p, b", cnonce=\"", &credentials.cnonce)
    if credentials.opaque.length:
        p = put_quoted(p, b", opaque=\"", &credentials.opaque)
    if credentials.with_qop:
        p = put_count(put_word(p, b", qop=auth, nc="), credentials.nc)
    return <int>(put_word(p, b"\r\n") - out)


# --- for tests and tools ------------------------------------------------------------------------

cdef int algorithm_number(str name) except -1:
    if name not in _ALGORITHMS[:-1]:
        raise ValueError(f"not a digest algorithm: {name!r}")
    return _ALGORITHMS.index(name)


def is_supported(str algorithm not None):
    return (algorithm in ("", "MD5", "SHA-256")
            or algorithm == "SHA-512-256" and sha512_256_seed is not None)


def hash_of(str algorithm not None, bytes data not None):
    cdef uint8_t[LARGEST_DIGEST_BYTES] raw
    cdef int number = algorithm_number(algorithm)
    hash_bytes(number, data, raw)
    return (<char*>raw)[:digest_bytes(number)]


def ha1_of(str algorithm not None, bytes username not None, bytes realm not None,
           bytes password not None):
    cdef uint8_t[LARGEST_DIGEST_BYTES] raw
    cdef int number = algorithm_number(algorithm)
    ha1(number, username, <uint32_t>len(username), realm, <uint32_t>len(realm), password,
        <uint32_t>len(password), raw)
    return (<char*>raw)[:digest_bytes(number)]


def ha2_of(str algorithm not None, bytes method not None, bytes uri not None):
    cdef uint8_t[LARGEST_DIGEST_BYTES] raw
    cdef int number = algorithm_number(algorithm)
    ha2(number, method, <uint32_t>len(method), uri, <uint32_t>len(uri), raw)
    return (<char*>raw)[:digest_bytes(number)]


def response_of(str algorithm not None, bytes ha1_raw not None, bytes ha2_raw not None,
                bytes nonce not None, cnonce=None, uint32_t nc=1):
    cdef uint8_t[LARGEST_DIGEST_BYTES] raw
    cdef int number = algorithm_number(algorithm)
    cdef bytes client_nonce = b"" if cnonce is None else cnonce
    if len(ha1_raw) != digest_bytes(number) or len(ha2_raw) != digest_bytes(number):
        raise ValueError("HA1 and HA2 are raw digests of the algorithm")
    response_into(number, <const uint8_t*><const char*>ha1_raw,
                  <const uint8_t*><const char*>ha2_raw, nonce, <uint32_t>len(nonce),
                  cnonce is not None, nc, client_nonce, <uint32_t>len(client_nonce), raw)
    return (<char*>raw)[:digest_bytes(number)]


def hex_of(bytes raw not None):
    cdef bytes text = PyBytes_FromStringAndSize(NULL, 2 * len(raw))
    write_hex(PyBytes_AS_STRING(text), <const uint8_t*><const char*>raw, <int>len(raw))
    return text


def from_hex(bytes text not None):
    cdef bytes raw = PyBytes_FromStringAndSize(NULL, len(text) // 2)
    if len(text) % 2 or read_hex(<uint8_t*>PyBytes_AS_STRING(raw), text, <int>len(raw)) < 0:
        return None
    return raw


def unescaped(bytes text not None):
    cdef bytes out = PyBytes_FromStringAndSize(NULL, len(text))
    return out[:unescape_into(PyBytes_AS_STRING(out), text, <uint32_t>len(text))]


cdef Text text_of(bytes raw):
    cdef Text text
    text.data = PyBytes_AS_STRING(raw)
    text.length = <uint32_t>PyBytes_GET_SIZE(raw)
    return text


def credentials_line(*, bytes username not None, bytes realm not None, bytes nonce not None,
                     bytes uri not None, bytes response not None, str algorithm="",
                     bytes opaque=b"", cnonce=None, uint32_t nc=1, bint is_proxy=False,
                     room=None):
    cdef Credentials credentials
    cdef bytes out, client_nonce = b"" if cnonce is None else cnonce
    cdef int length
    credentials.algorithm = <uint8_t>algorithm_number(algorithm)
    if len(response) != digest_bytes(credentials.algorithm):
        raise ValueError("response is a raw digest of the algorithm")
    credentials.is_proxy, credentials.with_qop, credentials.nc = is_proxy, cnonce is not None, nc
    credentials.response = <const uint8_t*>PyBytes_AS_STRING(response)
    credentials.username, credentials.realm = text_of(username), text_of(realm)
    credentials.nonce, credentials.opaque = text_of(nonce), text_of(opaque)
    credentials.uri, credentials.cnonce = text_of(uri), text_of(client_nonce)
    out = PyBytes_FromStringAndSize(
        NULL, credentials_bound(&credentials) if room is None else room)
    length = credentials_into(PyBytes_AS_STRING(out), <uint32_t>len(out), &credentials)
    return None if length < 0 else out[:length]
