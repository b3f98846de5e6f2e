# One pass over a SIP message (RFC 3261 section 7) to spans over what a registration needs.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from regiment.sip.field cimport (
    Span, Text, equals_folded, is_blank, lower, next_parameter, read_number, skip_address, trimmed,
)

cdef enum:                  # HeaderId
    H_OTHER = 0
    H_VIA
    H_FROM
    H_TO
    H_CALL_ID
    H_CSEQ
    H_CONTACT
    H_EXPIRES
    H_MIN_EXPIRES
    H_RETRY_AFTER
    H_WWW_AUTHENTICATE
    H_PROXY_AUTHENTICATE
    H_AUTHORIZATION
    H_PROXY_AUTHORIZATION
    H_AUTHENTICATION_INFO
    H_PROXY_AUTHENTICATION_INFO
    H_SERVICE_ROUTE
    H_PATH
    H_P_ASSOCIATED_URI
    H_SECURITY_CLIENT
    H_SECURITY_SERVER
    H_SECURITY_VERIFY
    H_DATE
    H_WARNING
    H_REASON
    H_CONTENT_LENGTH
    H_MAX_FORWARDS
    H_ROUTE
    H_RECORD_ROUTE
    H_SUPPORTED
    H_REQUIRE
    H_PROXY_REQUIRE
    H_UNSUPPORTED
    H_ALLOW
    H_USER_AGENT
    H_SERVER
    H_EVENT
    H_FLOW_TIMER
    H_COUNT

cdef enum:                  # Method
    M_UNKNOWN = 0
    M_REGISTER
    M_OPTIONS
    M_INVITE
    M_ACK
    M_BYE
    M_CANCEL
    M_NOTIFY
    M_SUBSCRIBE
    M_MESSAGE
    M_REFER
    M_INFO
    M_UPDATE
    M_PRACK
    M_PUBLISH
    M_COUNT

cdef enum:                  # ScanError
    SCAN_OK = 0
    SCAN_EMPTY              # nothing but CR, LF or NUL: a keep-alive
    SCAN_START_LINE         # neither request line nor status line of SIP/2.0
    SCAN_TRUNCATED          # no empty line after the headers
    SCAN_HEADER             # a line that is no header (no colon, NUL in a name …)
    SCAN_VIA                # no Via, or its first value is unreadable
    SCAN_CSEQ               # no CSeq, or unreadable, or number >= 2**31
    SCAN_MANDATORY          # From, To or Call-ID missing
    SCAN_LENGTH             # Content-Length beyond the datagram, unreadable, or two that differ
    SCAN_COUNT              # how many kinds there are

cdef struct Message:
    bint is_request
    uint16_t status               # responses
    uint8_t method                # requests: of the request line
    uint8_t cseq_method
    uint32_t cseq
    Span method_name, request_uri, reason        # reason: the reason phrase of a status line
    Span via_sent_by, via_branch                 # of the topmost Via value
    Span from_tag, to_tag
    Span cseq_method_name
    # seconds; -1: absent or unreadable; 2**32-1: that or more
    int64_t expires, min_expires, retry_after
    int64_t content_length                       # -1 absent
    uint32_t headers_end                         # offset of the body
    Span first[H_COUNT]                          # value of the first header of a kind
    uint16_t count[H_COUNT]                      # header lines of a kind

# Fills `out` wholly (also after an error: what was read so far) and returns a ScanError.
# Spans are offsets into `data`; a folded value still holds its CRLF (white space to every reader).
# Never reads beyond data[length]; cost linear in length.
cdef int scan(const char* data, uint32_t length, Message* out) noexcept nogil

# The next header line of kind `header` at or after offset *cursor (start with 0): fills `value`,
# moves *cursor past it, returns 1; 0: no more. Worth it only where count > 1 (see first[]).
cdef bint next_header(const char* data, const Message* message, int header,
                      uint32_t* cursor, Span* value) noexcept nogil
