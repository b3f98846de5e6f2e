"""What header values are made of: see field.pyi and field.pxd."""
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memchr

cdef enum:
    LARGEST = 0xffffffff           # what a number that is larger counts as


cdef int64_t read_number(const char* data, Span span) noexcept nogil:
    cdef uint32_t i
    cdef int64_t number = 0
    if span.length == 0:
        return -1
    for i in range(span.start, span.start + span.length):
        if not c'0' <= data[i] <= c'9':
            return -1
        number = number * 10 + (data[i] - c'0')
        if number > LARGEST:
            number = LARGEST
    return number


# `position` is behind an opening quote: the offset of the closing one; `end`: it never closes.
cdef inline uint32_t closing_quote(const char* data, uint32_t position,
                                   uint32_t end) noexcept nogil:
    while position < end and data[position] != c'"':
        position += 2 if data[position] == c'\\' else 1
    return position if position < end else end


cdef bint next_parameter(const char* data, uint32_t* position, uint32_t end,
                         Span* name, Span* value) noexcept nogil:
    cdef uint32_t p = position[0]
    while p < end and data[p] != c';' and data[p] != c',':
        if data[p] == c'"':
            p = closing_quote(data, p + 1, end)
        if p < end:
            p += 1
    if p >= end or data[p] == c',':
        position[0] = p
        return False
    p = skip_blanks(data, p + 1, end)
    name.start = p
    while (p < end and data[p] != c'=' and data[p] != c';' and data[p] != c','
           and not is_blank(data[p])):
        p += 1
    name.length = p - name.start
    p = skip_blanks(data, p, end)
    value.start = p
    value.length = 0
    if p < end and data[p] == c'=':
        p = skip_blanks(data, p + 1, end)
        value.start = p
        if p < end and data[p] == c'"':
            value.start = p + 1
            p = closing_quote(data, p + 1, end)
            value.length = p - value.start
            if p < end:
                p += 1
        else:
            while p < end and data[p] != c';' and data[p] != c',' and not is_blank(data[p]):
                p += 1
            value.length = p - value.start
    position[0] = p
    return True


cdef bint next_listed(const char* data, uint32_t* position, uint32_t end,
                      Span* value) noexcept nogil:
    cdef uint32_t p = position[0]
    cdef bint bracketed = False
    while p < end and (is_blank(data[p]) or data[p] == c','):
        p += 1
    value.start = p
    while p < end and (bracketed or data[p] != c','):
        if data[p] == c'"':
            p = closing_quote(data, p + 1, end)
        elif data[p] == c'<':
            bracketed = True
        elif data[p] == c'>':
            bracketed = False
        if p < end:
            p += 1
    value.length = p - value.start
    value[0] = trimmed(data, value[0])
    position[0] = p
    return value.length > 0


cdef uint32_t skip_address(const char* data, uint32_t position, uint32_t end,
                           Span* uri) noexcept nogil:
    cdef const char* close
    cdef uint32_t p = skip_blanks(data, position, end)
    uri.start = p
    uri.length = 0
    while p < end and data[p] != c';' and data[p] != c',':
        if data[p] == c'"':
            p = closing_quote(data, p + 1, end)
            if p >= end:
                return end + 1
        elif data[p] == c'<':
            uri.start = p + 1
            close = <const char*>memchr(data + p + 1, c'>', end - p - 1)
            if close == NULL:
                return end + 1
            uri.length = <uint32_t>(close - data) - uri.start
            uri[0] = trimmed(data, uri[0])
            return <uint32_t>(close - data) + 1
        p += 1
    uri.length = p - uri.start
    uri[0] = trimmed(data, uri[0])
    return p


# --- for tests and tools ------------------------------------------------------------------------

def parameters_of(bytes value not None):
    cdef uint32_t position = 0
    cdef Span name, text
    found = []
    while next_parameter(value, &position, <uint32_t>len(value), &name, &text):
        found.append((value[name.start:name.start + name.length],
                      value[text.start:text.start + text.length]))
    return found


def listed_of(bytes value not None):
    cdef uint32_t position = 0
    cdef Span item
    found = []
    while next_listed(value, &position, <uint32_t>len(value), &item):
        found.append(value[item.start:item.start + item.length])
    return found


def address_of(bytes value not None):
    cdef Span uri
    cdef uint32_t behind = skip_address(value, 0, <uint32_t>len(value), &uri)
    if behind > <uint32_t>len(value):
        return None
    return value[uri.start:uri.start + uri.length], value[behind:]


def number_of(bytes text not None):
    cdef Span span
    span.start = 0
    span.length = <uint32_t>len(text)
    return read_number(text, span)
