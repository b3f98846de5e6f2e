# Security mechanisms that the other side names (RFC 3329), kept for Security-Verify.
from libc.stdint cimport uint32_t

from regiment.sip.field cimport Text
from regiment.sip.scanner cimport Message
from regiment.uac.annex cimport Annex

# Takes the Security-Server headers of a 401, 407 or 494 in the place of what was remembered; a
# response without any leaves it as it is.
cdef void take_security_server(Annex** annexes, const char* data,
                               const Message* message) noexcept nogil
cdef void forget_security_server(Annex** annexes) noexcept nogil
# Whole header lines "Security-Verify: …\r\n" for the next request; length 0: none.
cdef Text security_verify(const Annex* annexes) noexcept nogil
