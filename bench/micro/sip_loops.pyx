# cython: language_level=3, boundscheck=False, wraparound=False
"""Loops over the readers and writers of SIP as the cores run them."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from regiment.sip.branch cimport BRANCH_BYTES, read_branch, write_branch
from regiment.sip.comparison cimport uri_equal
from regiment.sip.digest cimport Credentials, credentials_into, response_into
from regiment.sip.field cimport Span, Text
from regiment.sip.request cimport Fill, Template
from regiment.sip.response cimport (
    Challenge, ContactCursor, ContactValue, next_contact, read_challenge,
)
from regiment.sip.scanner cimport H_WWW_AUTHENTICATE, Message, scan


cdef Text text_of(bytes raw):
    cdef Text text
    text.data = raw
    text.length = <uint32_t>len(raw)
    return text


def scan_message(bytes data, uint32_t times):
    cdef Message message
    cdef const char* text = data
    cdef uint32_t length = <uint32_t>len(data), _
    for _ in range(times):
        scan(text, length, &message)


def read_contacts(bytes data, uint32_t times):
    cdef Message message
    cdef ContactCursor cursor
    cdef ContactValue contact
    cdef uint32_t _
    scan(data, <uint32_t>len(data), &message)
    for _ in range(times):
        memset(&cursor, 0, sizeof(cursor))
        while next_contact(data, &message, &cursor, &contact) > 0:
            pass


def challenge(bytes data, uint32_t times):
    cdef Message message
    cdef Challenge found
    cdef uint32_t _
    scan(data, <uint32_t>len(data), &message)
    for _ in range(times):
        read_challenge(data, message.first[H_WWW_AUTHENTICATE], &found)


def compare_uris(bytes a, bytes b, uint32_t times):
    cdef const char* first = a
    cdef const char* second = b
    cdef uint32_t first_length = <uint32_t>len(a), second_length = <uint32_t>len(b), _
    for _ in range(times):
        uri_equal(first, first_length, second, second_length)


def branches(uint32_t times):
    cdef char[BRANCH_BYTES] text
    cdef uint32_t slot, generation, at
    cdef uint64_t salt
    for at in range(times):
        write_branch(text, at, 1, 0x0123456789abcdef)
        read_branch(text, BRANCH_BYTES, &slot, &generation, &salt)


def response(int algorithm, bytes nonce, bytes cnonce, uint32_t times):
    cdef uint8_t[32] secret
    cdef uint8_t[32] out
    cdef const char* nonce_text = nonce
    cdef const char* cnonce_text = cnonce
    cdef uint32_t nonce_length = <uint32_t>len(nonce), cnonce_length = <uint32_t>len(cnonce), nc
    memset(secret, 1, 32)
    for nc in range(times):
        response_into(algorithm, secret, secret, nonce_text, nonce_length, True, nc, cnonce_text,
                      cnonce_length, out)


cdef void fill_credentials(Credentials* line, bytes nonce, bytes uri, const uint8_t* raw):
    line.is_proxy, line.with_qop, line.algorithm, line.nc = False, True, 1, 1
    line.response = raw
    line.username, line.realm = text_of(b"trunk0001"), text_of(b"example.com")
    line.nonce, line.uri = text_of(nonce), text_of(uri)
    line.opaque, line.cnonce = text_of(b""), text_of(b"0123456789abcdef")


def credentials(bytes nonce, bytes uri, uint32_t times):
    cdef Credentials line
    cdef uint8_t[32] raw
    cdef char[1024] out
    cdef uint32_t _
    memset(raw, 1, 32)
    fill_credentials(&line, nonce, uri, raw)
    for _ in range(times):
        credentials_into(out, 1024, &line)


def register(Template template, bytes credentials, uint32_t times):
    cdef Fill fill
    cdef uint8_t[16] call_id
    cdef char[2048] out
    cdef uint32_t at
    memset(call_id, 1, 16)
    memset(&fill, 0, sizeof(fill))
    fill.call_id, fill.salt, fill.from_tag, fill.expires = call_id, 1, 2, 3600
    fill.client_uri, fill.line = text_of(b"sip:trunk0001@example.com"), text_of(b"abcdefg")
    fill.contact_user = text_of(b"trunk0001")
    fill.contact, fill.credentials = text_of(b""), text_of(credentials)
    for at in range(times):
        fill.slot = fill.cseq = at
        template.build(out, 2048, &fill)


def answer(Template template, bytes data, uint32_t times):
    """All of an answer to a challenge: read the 401, hash, write credentials and REGISTER."""
    cdef Message message
    cdef Challenge found
    cdef Credentials line
    cdef Fill fill
    cdef Span nonce
    cdef uint8_t[16] call_id
    cdef uint8_t[32] secret
    cdef uint8_t[32] raw
    cdef char[1024] written
    cdef char[2048] out
    cdef const char* text = data
    cdef uint32_t length = <uint32_t>len(data), at
    cdef bytes uri = template.request_uri
    memset(secret, 1, 32)
    memset(call_id, 1, 16)
    memset(&fill, 0, sizeof(fill))
    fill.call_id, fill.salt, fill.from_tag, fill.expires = call_id, 1, 2, 3600
    fill.client_uri, fill.contact_user = text_of(b"sip:trunk0001@example.com"), text_of(b"s")
    fill.contact, fill.line = text_of(b""), text_of(b"abcdefg")
    for at in range(times):
        scan(text, length, &message)
        read_challenge(text, message.first[H_WWW_AUTHENTICATE], &found)
        nonce = found.nonce
        response_into(1, secret, secret, text + nonce.start, nonce.length, True, 1,
                      b"0123456789abcdef", 16, raw)
        line.is_proxy, line.with_qop, line.algorithm, line.nc = False, True, found.algorithm, 1
        line.response = raw
        line.username = text_of(b"trunk0001")
        line.realm.data, line.realm.length = text + found.realm.start, found.realm.length
        line.nonce.data, line.nonce.length = text + nonce.start, nonce.length
        line.opaque.data, line.opaque.length = text, 0
        line.uri, line.cnonce = text_of(uri), text_of(b"0123456789abcdef")
        fill.credentials.data = written
        fill.credentials.length = <uint32_t>credentials_into(written, 1024, &line)
        fill.cseq = at
        template.build(out, 2048, &fill)
