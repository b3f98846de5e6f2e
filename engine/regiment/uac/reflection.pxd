# How our side looks from there: `received` and `rport` of a response's topmost Via.
from regiment.sip.scanner cimport Message

# (host, port) from where the request was seen to come, either as the Via says it or as a proxy has
# corrected it (RFC 3261 18.2.1, RFC 3581); None: the Via cannot be read, or the host is no address
cdef object seen_from(const char* data, const Message* message)
