# The registrations of one worker: records, what they share, and how a state follows another.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from regiment.sip.request cimport Fill, Template
from regiment.uac.annex cimport Annex
from regiment.uac.credentials cimport Keyring, Nonce
from regiment.uac.lines cimport Lines
from regiment.uac.policy cimport Rules
from regiment.uac.target cimport Target

cdef enum RegistrationEvent:
    R_START = 0            # an attempt to register starts
    R_SUCCESS              # 2xx that granted time
    R_WAIT                 # failed; another attempt is planned
    R_REJECT               # failed; none is planned
    R_UNREGISTER           # an un-REGISTER starts
    R_POSTPONE             # the attempt starts again later, and none of it counts
    R_RELEASE              # nothing is bound any more

cdef enum Flag:
    IN_SEND = 1            # stands in the send ring
    SENT = 2               # the request of this transaction has gone out once
    CACHED = 4             # the request that is out carries a nonce from an earlier attempt
    REPEATED = 8           # the attempt was repeated without the cached nonce
    FALLBACK_423 = 16      # a 423 without Min-Expires was answered in this attempt
    ICMP_ONCE = 32         # one ICMP error was seen for this transaction
    LEAVING = 64           # to be removed, once its binding is
    HELD = 128             # un-registered by an operator, until he says otherwise
    IN_QUEUE = 256         # waits at its target
    EVER = 512             # was registered once
    BEGUN = 1024           # took part in a begin()
    SETTLED = 2048         # nothing more to do in this stop
    PENDING = 4096         # a change waits until the transaction that runs has ended
    UNUSED = 8192          # the slot is free
    MOVING = 16384         # its binding goes first, then it registers anew
    GHOST = 32768          # another record has its name now
    OCCUPIES = 65536       # its transaction is counted at its address
    CUT = 131072           # a connection was cut under its request, which was not its fault
    OUTSTANDING = 262144   # its attempt is counted at its target
    OVERDUE = 524288       # and has been for long: its request was sent again three times
    STREAM = 1048576       # its last request was aimed at a connection
    PLAIN = 2097152        # its REGISTERs do not ask for a flow, since that was refused
    LEARNED = 4194304      # its Contact was learned since its last refresh
    GOING = 64 | 128 | 16384        # LEAVING, HELD or MOVING: no binding is wanted

cdef enum:
    NO_SLOT = 0xFFFFFFFF
    CONTACT_BYTES_MAX = 16384        # a line of a .conf file has 8,191 bytes

cdef struct Record:
    uint8_t call_id[16]
    char line[8]           # 7 letters, NUL
    uint64_t salt, from_tag
    int64_t intended_ns    # when the attempt was or is due
    # when the first REGISTER of the attempt was sent, put off by what we ourselves took between its
    # transactions; 0: not yet
    int64_t started_ns
    int64_t sent_ns        # first send of the running transaction
    int64_t give_up_ns     # its Timer F
    int64_t answered_ns    # when the transaction before it in the attempt ended
    int64_t expires_ns     # when the binding lapses; 0: none is known
    int64_t failing_ns     # since when it fails; 0: it does not
    Nonce* nonce
    uint32_t last_mark, last_nc    # of the last request with credentials: its nonce, its count
    char* text             # client_uri, contact_user, contact, name, first name in outbound_auth
    Annex* annexes         # what few have: annex.pxd
    char* reason           # NUL-terminated reason phrase of the last failure, or NULL
    uint32_t generation, cseq
    uint32_t policy
    uint32_t credential
    uint32_t requested_s, granted_s
    uint32_t retries
    uint32_t timer_e_ms
    uint32_t send_next
    uint32_t flow          # number of the connection that its last request took; 0: none
    uint32_t endpoint      # of Population.endpoints
    uint16_t client_uri_length, user_length, contact_length, name_length
    uint16_t auth_length
    uint16_t code
    uint16_t face          # of Population.faces: what its last request said of our side
    uint8_t bound_place    # 1 + place of the address that its binding is at; 0: unknown
    uint32_t flags
    uint8_t state, transaction, kind, failure_class, credentials, rounds, raises, address

cdef class Face:
    # our side of a transport as seen from some addresses: what Via and Contact say
    cdef readonly object transport             # model.Transport
    cdef readonly int number                   # of the transport
    cdef readonly str host, local              # local: host:port
    cdef readonly int port
    cdef uint16_t socket                       # NO_SOCKET: it has connections
    cdef bint is_stream
    cdef int protocol                          # its place in metrics.catalogue.TRANSPORTS

cdef class PolicyState:
    # a model.Policy made ready: its rules, its template, its target
    cdef readonly object policy
    cdef uint64_t mark             # of where it registers, for the state file
    cdef uint32_t users            # registrations that have it
    cdef Rules rules
    cdef list templates            # by face; None: not needed so far
    cdef bytes request_uri
    cdef Target target
    cdef uint32_t connections      # that its registrations share; 0: each has its own
    cdef int certificate           # which one a connection shows; the same for equal ones
    cdef uint16_t face             # of its first transport, while no address is known
    cdef int group_row             # of the scoreboard; NO_GROUP: counted nowhere
    cdef bint line, mediasec, forms_flows
    cdef bint is_learning          # @rport_contact
    cdef uint8_t ha2[4][32]
    cdef bint ha2_known[4]
    cdef int need_ha2(self, int algorithm) except -1
    cdef Template template_for(self, list faces, uint32_t face)

cdef class Population:
    cdef Record* records
    cdef uint32_t count, capacity  # slots that were ever used; slots there is room for
    cdef uint32_t held             # registrations, without those that only leave
    cdef uint32_t unused           # the first free slot; NO_SLOT: none
    cdef uint32_t* index           # open addressing by Call-ID: slot + 1, 0 = free
    cdef uint32_t index_mask
    cdef Keyring keyring
    cdef list policies             # of PolicyState; None: the number is free
    cdef list unused_policies
    cdef list faces                # of Face
    cdef bytes instance_key
    cdef Lines lines
    cdef uint32_t unlined          # registrations without a line
    cdef object endpoints          # endpoints.Endpoints
    cdef int reserve(self, uint32_t more) except -1
    cdef int64_t add(self, object registration) except -2        # slot; -1: the name is there
    cdef int64_t take_slot(self) except -2
    cdef void free_slot(self, uint32_t slot) noexcept
    cdef void unindex(self, uint32_t slot) noexcept nogil
    cdef int assign(self, Record* record, object registration) except -1
    cdef int reword(self, Record* record, bytes contact) except -1
    cdef int _assign_auths(self, Record* record, tuple auths) except -1
    cdef int drop_policy(self, uint32_t number) except -1
    cdef bint same_auths(self, const Record* record, tuple auths) except -1
    cdef int64_t find(self, str name) except -2
    cdef int64_t find_staying(self, str name) except -2          # the same, but nobody who leaves
    cdef str name_of(self, const Record* record)
    cdef int _rehash(self, uint64_t wanted) except -1
    cdef uint32_t _place(self, const uint8_t* call_id) noexcept nogil
    cdef bytes _keyed(self, bytes name)
    # A record stands in the index of lines as long as its name stands in the other one.
    cdef int line_add(self, uint32_t slot) except -1
    cdef void line_remove(self, uint32_t slot) noexcept nogil
    cdef int take_endpoint(self, Record* record, str endpoint, str redirect) except -1
    cdef char* _join(self, tuple parts) except NULL
    cdef void _write_line(self, Record* record, const uint8_t* random) noexcept nogil
    cdef bint is_bound(self, const Record* record, int64_t now_ns) noexcept nogil
    # What differs from record to record in its REGISTER; the Contact URI as it is sent.
    cdef void fill_in(self, Record* record, PolicyState policy, Fill* fill) noexcept nogil
    cdef int contact_of(self, Record* record, PolicyState policy, char* out) except -2
    cdef int note_reason(self, Record* record, const char* text, uint32_t length) noexcept nogil

cdef int registration_advance(int state, int event) noexcept nogil
