# Client-initiated connections on the registrar's side (RFC 5626 section 6).
from libc.stdint cimport uint64_t
from regiment.keyed cimport Key
from regiment.sip.field cimport Span
from regiment.sip.scanner cimport Message

cdef enum Outbound:              # what becomes of a REGISTER; the first three as settings.OUTBOUND
    OUTBOUND_NO = 0              # not asked for, or not done here: reg-id is ignored
    OUTBOUND_YES = 1
    OUTBOUND_REFUSE = 2          # 439

# What becomes of this REGISTER where the setting is `wanted`.
cdef int judge_outbound(int wanted, const char* data, const Message* message) noexcept nogil
# The keyed hash of instance-id and reg-id among a Contact's parameters; 0: one of them is missing.
cdef uint64_t flow_key(const Key* key, const char* data, Span parameters) noexcept nogil
# Whether an option tag (lower case) stands in a header that lists them.
cdef bint has_tag(const char* data, const Message* message, int header, const char* tag,
                  Py_ssize_t length) noexcept nogil
