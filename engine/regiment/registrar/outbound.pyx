# cython: boundscheck=False, wraparound=False
"""Client-initiated connections on the registrar's side: RFC 5626 section 6.

A client asks by ``Supported: outbound`` together with a Contact that has ``+sip.instance`` and
``reg-id``. Its binding is then known by (AOR, instance-id, reg-id) instead of its URI, so that a
new flow takes the place of the one before it, and the 200 says ``Require: outbound``. A reg-id
without an instance-id is ignored, as that section wants it.

This registrar proxies for nobody and keeps no Path of edge proxies: a request that came over
another hop has no flow to here, which is what 439 says.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from regiment.keyed cimport Key, keyed_hash
from regiment.sip.field cimport (
    Span,
    equals_folded,
    next_listed,
    next_parameter,
    read_number,
    skip_address,
)
from regiment.sip.scanner cimport H_CONTACT, H_SUPPORTED, H_VIA, Message, next_header

cdef int64_t MAX_REG_ID = 0x7fffffff


cdef bint has_tag(const char* data, const Message* message, int header, const char* tag,
                  Py_ssize_t length) noexcept nogil:
    cdef Span line, each
    cdef uint32_t cursor = 0, at
    if message.count[header] == 0:
        return 0
    while next_header(data, message, header, &cursor, &line):
        at = line.start
        while next_listed(data, &at, line.start + line.length, &each):
            if equals_folded(data, each, tag, <uint32_t>length):
                return 1
    return 0


cdef bint _is_first_hop(const char* data, const Message* message) noexcept nogil:
    cdef Span first = message.first[H_VIA], each
    cdef uint32_t at = first.start
    if message.count[H_VIA] > 1:
        return 0
    next_listed(data, &at, first.start + first.length, &each)
    return not next_listed(data, &at, first.start + first.length, &each)


cdef bint _has_reg_id(const char* data, const Message* message) noexcept nogil:
    # Whether any Contact has both parameters.
    cdef Span line, each, uri, parameters
    cdef uint32_t cursor = 0, at, end
    cdef Key key
    memset(&key, 0, sizeof(Key))
    while next_header(data, message, H_CONTACT, &cursor, &line):
        at = line.start
        while next_listed(data, &at, line.start + line.length, &each):
            end = each.start + each.length
            parameters.start = skip_address(data, each.start, end, &uri)
            if parameters.start > end:
                return 0
            parameters.length = end - parameters.start
            if flow_key(&key, data, parameters):
                return 1
    return 0


cdef int judge_outbound(int wanted, const char* data, const Message* message) noexcept nogil:
    if (wanted == OUTBOUND_NO or message.count[H_CONTACT] == 0
            or not has_tag(data, message, H_SUPPORTED, b"outbound", 8)
            or not _has_reg_id(data, message)):
        return OUTBOUND_NO
    return wanted if _is_first_hop(data, message) else OUTBOUND_REFUSE


cdef uint64_t flow_key(const Key* key, const char* data, Span parameters) noexcept nogil:
    cdef uint32_t at = parameters.start, end = parameters.start + parameters.length
    cdef Span name, value, instance
    cdef int64_t reg_id = 0
    cdef Key mixed = key[0]
    instance.start = instance.length = 0
    while next_parameter(data, &at, end, &name, &value):
        if equals_folded(data, name, b"reg-id", 6):
            reg_id = read_number(data, value)
        elif equals_folded(data, name, b"+sip.instance", 13):
            instance = value
    if instance.length == 0 or not 1 <= reg_id <= MAX_REG_ID:
        return 0
    mixed.k1 ^= <uint64_t>reg_id
    # 0 stands for none
    return keyed_hash(&mixed, data + instance.start, instance.length) | 1
