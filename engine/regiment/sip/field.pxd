# What header values are made of (RFC 3261 7.3.1 and 25.1): white space, numbers, quoted strings,
# parameters, addresses. Nothing here reads at or beyond the given end.
from libc.stdint cimport int64_t, uint32_t

cdef struct Span:
    uint32_t start
    uint32_t length        # 0: absent or empty

cdef struct Text:                 # bytes behind a pointer, owned by somebody else
    const char* data
    uint32_t length

# White space inside a header value: SP, HT, and the CR and LF of folding.
cdef inline bint is_blank(char c) noexcept nogil:
    return c == c' ' or c == c'\t' or c == c'\r' or c == c'\n'

# ASCII only; every other byte is its own lower case.
cdef inline char lower(char c) noexcept nogil:
    return c + 32 if c'A' <= c <= c'Z' else c

# The span without white space at either end.
cdef inline Span trimmed(const char* data, Span value) noexcept nogil:
    while value.length and is_blank(data[value.start]):
        value.start += 1
        value.length -= 1
    while value.length and is_blank(data[value.start + value.length - 1]):
        value.length -= 1
    return value

# data[span] == text, ASCII case ignored (`text` in lower case).
cdef inline bint equals_folded(const char* data, Span span, const char* text,
                               uint32_t text_length) noexcept nogil:
    cdef uint32_t i
    if span.length != text_length:
        return False
    for i in range(text_length):
        if lower(data[span.start + i]) != text[i]:
            return False
    return True

# The first offset at or behind `position` that holds no white space; `end` at most.
cdef inline uint32_t skip_blanks(const char* data, uint32_t position, uint32_t end) noexcept nogil:
    while position < end and is_blank(data[position]):
        position += 1
    return position

# The next `;name[=value]` at or after *position and before `end` or an unquoted comma. Quotes are
# taken off the value (quoted-pairs stay). Returns 1, or 0: no more (*position at the comma or end).
cdef bint next_parameter(const char* data, uint32_t* position, uint32_t end,
                         Span* name, Span* value) noexcept nogil

# The next value of a comma-separated list at or after *position (RFC 3261 7.3.1), without blanks
# around it; commas inside quotes and angle brackets do not end it. False: no more.
cdef bint next_listed(const char* data, uint32_t* position, uint32_t end,
                      Span* value) noexcept nogil

# The offset behind a name-addr or addr-spec that begins at `position` (so: where its header
# parameters begin), its URI in `uri`; end + 1: unreadable (a quote or bracket never closes).
cdef uint32_t skip_address(const char* data, uint32_t position, uint32_t end,
                           Span* uri) noexcept nogil

# The whole span as a decimal number, at most 2**32-1 (larger: that); -1: not digits alone.
cdef int64_t read_number(const char* data, Span span) noexcept nogil
