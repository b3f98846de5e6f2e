# The words of a message that are known by number: header names and methods.
from libc.stdint cimport uint8_t, uint32_t

# scanner.HeaderId of a header name (a token, any case, compact or not); H_OTHER: not a known one.
cdef int header_of(const char* name, uint32_t length) noexcept nogil
# scanner.Method of a method (upper case, RFC 3261 7.1); M_UNKNOWN: not a known one.
cdef uint8_t method_of(const char* name, uint32_t length) noexcept nogil
