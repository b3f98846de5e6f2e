# The REGISTER request: a template compiled once per policy, holes filled at each send.
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from regiment.sip.field cimport Text

# What differs from registration to registration and from send to send.
cdef struct Fill:
    uint32_t slot, generation     # branch
    uint64_t salt
    uint64_t from_tag             # 16 hex digits
    const uint8_t* call_id        # 16 raw bytes, written as 32 hex digits
    uint32_t cseq
    int64_t expires
    Text client_uri               # without brackets, as it goes into From and To: uri.identity_uri
    Text contact_user             # user part, empty: "s"; unused where contact is set
    Text contact                  # whole URI of @contact (without brackets), or length 0
    Text line                     # 7 letters, or length 0
    Text credentials              # whole header lines "Authorization: …\r\n", or length 0
    # used where the policy negotiates security (RFC 3329) alone:
    Text verify                   # whole header lines "Security-Verify: …\r\n", or length 0
    bint after_494                # the request that a 494 led to: it names no mechanisms of ours
    # used where the policy forms flows (RFC 5626) alone:
    uint32_t reg_id               # 0: the request takes the plain form
    Text instance                 # the UUID, 36 characters; unused where reg_id is 0

# Which of a template's endings a request takes: a sum of these.
cdef enum:
    WITH_CREDENTIALS = 1
    UN_REGISTER = 2
    PLAIN = 4                     # where the policy forms flows: without any of that


@cython.final
cdef class Template:
    cdef readonly bytes request_uri  # as it goes on the wire: the digest uri
    cdef uint32_t fixed_bytes        # all that does not come from Fill, at its longest
    cdef list kept                   # the bytes that the texts below point into
    cdef Text head                   # up to "branch="
    cdef Text after_branch           # CRLF, Route lines, up to "From: <"
    cdef Text after_from             # ">;tag="
    cdef Text before_to              # CRLF, "To: <"
    cdef Text before_call_id         # ">", CRLF, "Call-ID: "
    cdef Text before_cseq            # CRLF, "CSeq: "
    cdef Text before_contact         # " REGISTER", CRLF, headers of server_uri, "Contact: <"
    cdef Text contact_scheme         # "sip:" or "sips:"
    cdef Text contact_host           # "@host:port[;transport=TCP]"
    cdef Text[8] after_contact       # ">[;parameters]", CRLF, "Expires: "
    # CRLF, Allow … up to the credentials; with mediasec up to Security-Client
    cdef Text[8] after_expires
    cdef bint mediasec
    cdef bint forms_flows
    cdef Text security_client        # whole lines, one a mechanism
    cdef Text[8] after_verify        # Require, Proxy-Require, Max-Forwards … up to the credentials
    cdef Text[8] ending              # what follows the credentials, with the empty line

    # Writes the REGISTER (un-REGISTER: expires == 0); returns its length, or -1: `room` is less
    # than bound(fill).
    cdef int build(self, char* out, uint32_t room, const Fill* fill) noexcept nogil
    cdef char* put_agreement(self, char* p, const Fill* fill, int kind) noexcept nogil
    cdef char* put_contact(self, char* p, const Fill* fill) noexcept nogil
    cdef Text _keep(self, str piece)
    cdef int _compile_tail(self, int kind, policy, dict name) except -1
    # An upper bound of what build() writes.
    cdef uint64_t bound(self, const Fill* fill) noexcept nogil
    # Writes the Contact's URI exactly as build() does; its length, or -1: too little room.
    cdef int contact_into(self, char* out, uint32_t room, const Fill* fill) noexcept nogil
