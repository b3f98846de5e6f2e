# The REGISTER request: a template compiled once per policy, holes filled at each send.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef struct Text:                 # bytes owned by somebody else
    const char* data
    uint32_t length

# What differs from registration to registration and from send to send.
cdef struct Fill:
    uint32_t slot, generation     # branch
    uint64_t salt
    uint64_t from_tag             # 16 hex digits
    const uint8_t* call_id        # 16 raw bytes, written as 32 hex digits
    uint32_t cseq
    int64_t expires
    Text client_uri               # without brackets, as it goes into From and To
    Text contact_user             # user part; unused where contact is set
    Text contact                  # whole URI of @contact (without brackets), or length 0
    Text line                     # 7 letters, or length 0
    Text credentials              # whole header lines "Authorization: …\r\n", or length 0

cdef class Template:
    cdef object segments          # keeps the bytes alive
    cdef bytes head               # up to "branch="
    cdef bytes after_branch       # CRLF, Route lines, up to "From: <"
    cdef bytes contact_before     # up to the user of Contact: "Contact: <sip:"
    cdef bytes contact_after      # "@host:port[;transport=TCP]"
    cdef bytes contact_params     # ";…" of contact_header_params or b""
    cdef bytes tail               # from after Expires to before the credentials
    cdef bytes tail_unregister    # the same without Allow
    cdef bytes tail_own_agent     # User-Agent line that follows the credentials (own one), or b""
    cdef bytes names              # header names in use (compact or long)
    cdef bytes request_uri        # as it goes on the wire: the digest uri
    cdef uint32_t fixed_bytes     # an upper bound of everything that does not come from Fill

    # Writes the REGISTER (un-REGISTER: expires == 0); returns its length, or -1: `room` is too small.
    cdef int build(self, char* out, uint32_t room, const Fill* fill) noexcept nogil
