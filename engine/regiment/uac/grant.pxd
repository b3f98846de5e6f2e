# For how long a 2xx has bound us.
from libc.stdint cimport int64_t, uint32_t
from regiment.sip.scanner cimport Message

cdef enum:
    GRANT_UNREADABLE = -1
    GRANT_DEFAULT_S = 3600
    GRANT_CAP_S = 31_536_000      # a year: what the timer wheel and reason allow

# Seconds granted; 0: `Expires: 0` won; GRANT_UNREADABLE. `contact` is the URI that was sent.
cdef int64_t granted_s(const char* data, const Message* message, const char* contact,
                       uint32_t contact_length, const char* line, uint32_t line_length,
                       int64_t requested_s) noexcept nogil
