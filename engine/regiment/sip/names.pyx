"""The words of a message that are known by number: see names.pyi and names.pxd."""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from regiment.sip.scanner cimport H_OTHER, M_COUNT, M_UNKNOWN

METHODS = (
    "", "REGISTER", "OPTIONS", "INVITE", "ACK", "BYE", "CANCEL", "NOTIFY", "SUBSCRIBE",
    "MESSAGE", "REFER", "INFO", "UPDATE", "PRACK", "PUBLISH",
)
HEADERS = (
    "", "via", "from", "to", "call-id", "cseq", "contact", "expires", "min-expires",
    "retry-after", "www-authenticate", "proxy-authenticate", "authorization",
    "proxy-authorization", "authentication-info", "proxy-authentication-info", "service-route",
    "path", "p-associated-uri", "security-client", "security-server", "security-verify", "date",
    "warning", "reason", "content-length", "max-forwards", "route", "record-route", "supported",
    "require", "proxy-require", "unsupported", "allow", "user-agent", "server", "event",
    "flow-timer",
)
COMPACT = {
    "v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length",
    "k": "supported", "o": "event",
}

cdef enum:
    BUCKETS = 256

cdef struct Word:
    const char* text
    uint32_t length
    uint8_t value
    uint8_t next                   # 1 + index of the next word of the same bucket; 0: none

cdef Word[64] NAMES
cdef uint8_t[BUCKETS] FIRST_NAME   # 1 + index of a bucket's first word; 0: none
cdef Word[M_COUNT] METHOD_WORDS
cdef list _kept_texts = []         # the words point into these bytes


cdef inline uint32_t bucket_of(const char* text, uint32_t length) noexcept nogil:
    return ((<uint8_t>text[0] | 0x20) * 5 + (<uint8_t>text[length - 1] | 0x20) + length * 3) & 0xff


cdef int keep_word(Word* word, str text, int value) except -1:
    cdef bytes raw = text.encode("ascii")
    _kept_texts.append(raw)
    word.text = raw
    word.length = <uint32_t>len(raw)
    word.value = <uint8_t>value
    word.next = 0
    return 0


def _fill_tables():
    cdef uint32_t bucket
    cdef int index
    rows = [(name, number) for number, name in enumerate(HEADERS) if name]
    rows += [(short, HEADERS.index(name)) for short, name in COMPACT.items()]
    for index, (name, number) in enumerate(rows):
        keep_word(&NAMES[index], name, number)
        bucket = bucket_of(NAMES[index].text, NAMES[index].length)
        NAMES[index].next = FIRST_NAME[bucket]
        FIRST_NAME[bucket] = <uint8_t>(index + 1)
    for index, name in enumerate(METHODS):
        keep_word(&METHOD_WORDS[index], name, index)


_fill_tables()


cdef int header_of(const char* name, uint32_t length) noexcept nogil:
    cdef uint8_t index = FIRST_NAME[bucket_of(name, length)]
    cdef const Word* word
    cdef uint32_t i
    while index:
        word = &NAMES[index - 1]
        if word.length == length:
            i = 0
            # |0x20 folds letters, and maps no other byte of a token onto a letter or '-'
            while i < length and (name[i] | 0x20) == word.text[i]:
                i += 1
            if i == length:
                return word.value
        index = word.next
    return H_OTHER


cdef uint8_t method_of(const char* name, uint32_t length) noexcept nogil:
    cdef int i
    for i in range(1, M_COUNT):
        if (METHOD_WORDS[i].length == length
                and memcmp(METHOD_WORDS[i].text, name, length) == 0):
            return <uint8_t>i
    return M_UNKNOWN
