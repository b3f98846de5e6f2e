"""The records of a worker's registrations, and the life-cycle of one.

```
                    start                success
   unregistered ------------> registering -------> registered <------------+
        ^                      ^  |   |              |    |                |
        | release        start |  |   | reject       |    | start  success |
        |                      |  |   +-------+      |    +-> refreshing --+
        +-- unregistering      |  | wait      |      |          |    |
        |        ^             |  V           V      |     wait |    | reject
        |        |            waiting      rejected  |          V    V
        |        |               |            |      |       waiting rejected
        |        +---------------+------------+------+
        |                    unregister
        +-- release, from every state in which no transaction runs
```

An attempt that is postponed goes back to where it started from (not in the figure).

A record is one C struct: 300,000 of them are one block of memory that no garbage collector walks.
What is rare hangs off it by a pointer (nonce, reason phrase).
"""

from hashlib import blake2b

from cpython.list cimport PyList_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from regiment.datagram cimport NO_SOCKET
from regiment.sip.digest cimport ha2 as digest_ha2
from regiment.uac.annex cimport annexes_free
from regiment.uac.cells cimport NO_GROUP
from regiment.uac.credentials cimport nonces_free
from regiment.uac.policy cimport (
    S_REFRESHING, S_REGISTERED, S_REGISTERING, S_REJECTED, S_UNREGISTERED, S_UNREGISTERING,
    S_WAITING,
)
from regiment.uac.security cimport security_verify

from regiment.errors import LocalError
from regiment.metrics import catalogue
from regiment import model
from regiment.sip import request
from regiment.sip.uri import identity_uri
from regiment.uac.destination import redirect_of
from regiment.uac.endpoints import Endpoints

cdef enum:
    REASON_BYTES_MAX = 80


cdef int registration_advance(int state, int event) noexcept nogil:
    """The state that follows; the same state where the event has no meaning in it."""
    if state == S_REGISTERING or state == S_REFRESHING:      # a transaction runs
        if event == R_SUCCESS:
            return S_REGISTERED
        if event == R_WAIT:
            return S_WAITING
        if event == R_REJECT:
            return S_REJECTED
        if event == R_POSTPONE:
            return S_REGISTERED if state == S_REFRESHING else S_UNREGISTERED
        return state
    if state == S_UNREGISTERING:
        if event == R_POSTPONE:
            return S_REGISTERED
        return S_UNREGISTERED if event == R_RELEASE else state
    if event == R_START:
        return S_REFRESHING if state == S_REGISTERED else S_REGISTERING
    if event == R_WAIT:
        return S_WAITING
    if event == R_REJECT:
        return S_REJECTED
    if event == R_UNREGISTER:
        return state if state == S_UNREGISTERED else S_UNREGISTERING
    if event == R_RELEASE:
        return S_UNREGISTERED
    return state


EVENTS = ("start", "success", "wait", "reject", "unregister", "postpone", "release")


def advance(state, event):
    """One step of the life-cycle, by names, for tests."""
    return model.STATES[registration_advance(model.STATES.index(state), EVENTS.index(event))]


def first_auth(registration):
    """The first name in its `outbound_auth`; empty: there is none."""
    for name in registration.auth_names:
        return name
    for auth in registration.auths:
        return auth.name
    return ""


cdef class Face:
    """What Via and Contact say of our side."""

    def __init__(self, transport, number, socket, host, port):
        self.transport = transport
        self.number = number
        self.is_stream = transport.is_stream
        self.protocol = catalogue.TRANSPORTS.index(transport.protocol)
        self.socket = <uint16_t>NO_SOCKET if self.is_stream else socket
        self.host, self.port = host, port
        self.local = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


cdef class PolicyState:
    """A policy made ready to be used by many registrations."""

    def __init__(self, policy, Target target, face, certificate):
        self.policy = policy
        self.templates = []
        self.request_uri = request.request_uri_of(policy)
        self.target = target
        self.face = face
        self.connections = policy.connections
        self.certificate = certificate
        self.group_row = NO_GROUP
        self.line = policy.line
        self.is_learning = policy.rport_contact
        self.mediasec = policy.security_negotiation == request.MEDIASEC
        self.forms_flows = request.forms_flows(policy)
        self.rules.expiration_s = policy.expiration
        self.rules.max_random_initial_delay_s = policy.max_random_initial_delay
        self.rules.retry_interval_s = policy.retry_interval
        self.rules.forbidden_retry_interval_s = policy.forbidden_retry_interval
        self.rules.fatal_retry_interval_s = policy.fatal_retry_interval
        self.rules.max_retries = policy.max_retries
        self.rules.probe_interval_s = policy.probe_interval
        self.rules.auth_rejection_permanent = policy.auth_rejection_permanent
        self.rules.nonce_reuse = policy.nonce_reuse
        self.rules.timer_t1_ms = policy.timer_t1_ms
        self.rules.timer_b_ms = policy.timer_b_ms
        self.rules.refresh_jitter = policy.refresh_jitter
        self.rules.retry_jitter = policy.retry_jitter

    cdef int need_ha2(self, int algorithm) except -1:
        cdef bytes uri
        if not self.ha2_known[algorithm]:
            uri = self.request_uri
            digest_ha2(algorithm, b"REGISTER", 8, PyBytes_AS_STRING(uri),
                       <uint32_t>PyBytes_GET_SIZE(uri), self.ha2[algorithm])
            self.ha2_known[algorithm] = True
        return 0

    cdef Template template_for(self, list faces, uint32_t face):
        """The template for one of our faces; made when it is asked for first."""
        cdef Face seen
        if face < <uint32_t>PyList_GET_SIZE(self.templates) and self.templates[face] is not None:
            return <Template>self.templates[face]
        while <uint32_t>len(self.templates) <= face:
            self.templates.append(None)
        seen = <Face>faces[face]
        self.templates[face] = Template(self.policy, seen.transport, seen.host, seen.port)
        return <Template>self.templates[face]


cdef class Population:
    """All records of one engine, found by slot or by name."""

    def __init__(self, bytes instance_key):
        self.instance_key = instance_key
        self.keyring = Keyring()
        self.policies = []
        self.faces = []
        self.unused_policies = []
        self.unused = NO_SLOT
        self.lines = Lines()
        self.endpoints = Endpoints()

    def __dealloc__(self):
        cdef uint32_t slot
        for slot in range(self.count):
            nonces_free(&self.records[slot].nonce)
            annexes_free(&self.records[slot].annexes)
            free(self.records[slot].text)
            free(self.records[slot].reason)
        free(self.records)
        free(self.index)

    cdef int reserve(self, uint32_t more) except -1:
        """Room for `more` records; the block grows by an eighth, so little of it lies idle."""
        cdef uint64_t wanted = <uint64_t>self.count + (more if self.unused == NO_SLOT else 0)
        cdef uint64_t capacity = self.capacity
        cdef Record* records
        if wanted > capacity:
            capacity = max(wanted, capacity + capacity // 8)
            records = <Record*>realloc(self.records, capacity * sizeof(Record))
            if records == NULL:
                raise MemoryError
            self.records, self.capacity = records, <uint32_t>capacity
        if self.index == NULL or wanted * 4 > <uint64_t>(self.index_mask + 1) * 3:
            self._rehash(wanted)
        return 0

    cdef int _rehash(self, uint64_t wanted) except -1:
        cdef uint64_t size = 64
        cdef uint32_t slot
        while wanted * 4 > size * 3:
            size *= 2
        cdef uint32_t* index = <uint32_t*>calloc(size, sizeof(uint32_t))
        if index == NULL:
            raise MemoryError
        free(self.index)
        self.index, self.index_mask = index, <uint32_t>(size - 1)
        for slot in range(self.count):
            if not self.records[slot].flags & (UNUSED | GHOST):
                self.index[self._place(self.records[slot].call_id)] = slot + 1
        return 0

    cdef uint32_t _place(self, const uint8_t* call_id) noexcept nogil:
        """Where that Call-ID stands in the index, or the free place where it would stand."""
        cdef uint32_t at = (<const uint32_t*>call_id)[0] & self.index_mask
        while self.index[at] and memcmp(
                self.records[self.index[at] - 1].call_id, call_id, 16) != 0:
            at = (at + 1) & self.index_mask
        return at

    cdef bytes _keyed(self, bytes name):
        """16 bytes for the Call-ID, 8 for `line`: the same for a name as long as the key is."""
        return blake2b(name, key=self.instance_key, digest_size=24).digest()

    cdef int64_t find(self, str name) except -2:
        cdef bytes keyed = self._keyed(name.encode("utf-8", "surrogateescape"))
        cdef uint32_t at
        if self.index == NULL:
            return -1
        at = self.index[self._place(<const uint8_t*>PyBytes_AS_STRING(keyed))]
        return <int64_t>at - 1

    cdef int64_t find_staying(self, str name) except -2:
        cdef int64_t slot = self.find(name)
        return -1 if slot >= 0 and self.records[slot].flags & LEAVING else slot

    cdef int64_t add(self, object registration) except -2:
        cdef bytes keyed = self._keyed(registration.name.encode("utf-8", "surrogateescape"))
        cdef const uint8_t* key = <const uint8_t*>PyBytes_AS_STRING(keyed)
        cdef uint32_t slot, place
        cdef Record* record
        if not 0 <= registration.policy < len(self.policies):
            raise LocalError(f"[{registration.name}] names a policy that was not handed over")
        self.reserve(1)
        place = self._place(key)
        if self.index[place]:
            return -1
        slot = <uint32_t>self.take_slot()
        record = &self.records[slot]
        memcpy(record.call_id, key, 16)
        self._write_line(record, key + 16)
        try:
            self.assign(record, registration)
        except BaseException:
            record.flags = GHOST
            self.free_slot(slot)
            raise
        self.index[place] = slot + 1
        self.held += 1
        return slot

    cdef int64_t take_slot(self) except -2:
        """A slot for a new record, empty but for a generation that it never had before."""
        cdef uint32_t slot = self.unused
        cdef uint32_t generation = 0
        if slot == NO_SLOT:
            slot = self.count
            self.count += 1
        else:
            self.unused = self.records[slot].send_next
            generation = self.records[slot].generation + 1
        memset(&self.records[slot], 0, sizeof(Record))
        self.records[slot].generation = generation
        self.records[slot].policy = NO_SLOT
        return slot

    cdef void free_slot(self, uint32_t slot) noexcept:
        cdef Record* record = &self.records[slot]
        if not record.flags & GHOST:
            self.unindex(slot)
            self.line_remove(slot)
        self.take_endpoint(record, "", "")
        nonces_free(&record.nonce)
        annexes_free(&record.annexes)
        free(record.text)
        free(record.reason)
        record.text = record.reason = NULL
        if record.policy != NO_SLOT:
            self.drop_policy(record.policy)
        self.keyring.give_back(record.credential, record.credentials)
        record.flags = UNUSED
        record.send_next = self.unused
        self.unused = slot

    cdef void unindex(self, uint32_t slot) noexcept nogil:
        """Takes a name out of the index; what was pushed on behind it moves up."""
        cdef uint32_t hole = self._place(self.records[slot].call_id)
        cdef uint32_t at = hole, home
        if self.index[hole] != slot + 1:
            return
        while True:
            at = (at + 1) & self.index_mask
            if self.index[at] == 0:
                break
            home = (<const uint32_t*>self.records[self.index[at] - 1].call_id)[0]
            if ((at - home) & self.index_mask) >= ((at - hole) & self.index_mask):
                self.index[hole] = self.index[at]
                hole = at
        self.index[hole] = 0

    cdef int assign(self, Record* record, object registration) except -1:
        """What is a registration's own, over what it was before; its timers and state stay."""
        cdef bytes name = registration.name.encode("utf-8", "surrogateescape")
        cdef bytes client_uri = identity_uri(registration.client_uri).encode(
            "utf-8", "surrogateescape")
        cdef bytes user = registration.contact_user.encode("utf-8", "surrogateescape")
        cdef bytes contact = registration.contact.encode("utf-8", "surrogateescape")
        cdef bytes auth = first_auth(registration).encode("utf-8", "surrogateescape")
        cdef char* text = self._join((client_uri, user, contact, name, auth))
        try:
            self._assign_auths(record, registration.auths)
        except BaseException:
            free(text)
            raise
        free(record.text)
        record.text = text
        record.client_uri_length = <uint16_t>PyBytes_GET_SIZE(client_uri)
        record.user_length = <uint16_t>PyBytes_GET_SIZE(user)
        record.contact_length = <uint16_t>PyBytes_GET_SIZE(contact)
        record.name_length = <uint16_t>PyBytes_GET_SIZE(name)
        record.auth_length = <uint16_t>PyBytes_GET_SIZE(auth)
        (<PolicyState>self.policies[registration.policy]).users += 1
        if record.policy != NO_SLOT:
            self.line_remove(<uint32_t>(record - self.records))
            self.drop_policy(record.policy)
        record.policy = registration.policy
        self.take_endpoint(record, registration.endpoint, redirect_of(
            registration.redirect,
            (<PolicyState>self.policies[registration.policy]).policy.server_uri))
        return self.line_add(<uint32_t>(record - self.records))

    cdef int drop_policy(self, uint32_t number) except -1:
        """One registration less has it; a policy without any is forgotten."""
        cdef PolicyState policy = <PolicyState>self.policies[number]
        policy.users -= 1
        if policy.users == 0:
            self.policies[number] = None
            self.unused_policies.append(number)
        return 0

    cdef int reword(self, Record* record, bytes contact) except -1:
        """Another `contact` for the registration, and all else as it is."""
        cdef const char* at = record.text
        cdef bytes client_uri = at[:record.client_uri_length]
        cdef bytes user = (at + record.client_uri_length)[:record.user_length]
        cdef bytes names = (at + record.client_uri_length + record.user_length
                            + record.contact_length)[:record.name_length + record.auth_length]
        cdef char* text = self._join((client_uri, user, contact, names))
        free(record.text)
        record.text = text
        record.contact_length = <uint16_t>PyBytes_GET_SIZE(contact)
        return 0

    cdef int _assign_auths(self, Record* record, tuple auths) except -1:
        """Nonces name their credentials by number, and hold what was hashed from them."""
        cdef int64_t credential
        if self.same_auths(record, auths):
            return 0
        credential = self.keyring.take(auths)
        self.keyring.give_back(record.credential, record.credentials)
        nonces_free(&record.nonce)
        record.credential = <uint32_t>credential
        record.credentials = <unsigned char>len(auths)
        return 0

    cdef bint same_auths(self, const Record* record, tuple auths) except -1:
        return len(auths) == record.credentials and self.keyring.are(record.credential, auths)

    cdef int line_add(self, uint32_t slot) except -1:
        """Enters it in the index of lines. Its line may come out as another one: two never have
        the same."""
        cdef Record* record = &self.records[slot]
        if (<PolicyState>self.policies[record.policy]).line:
            self.lines.add(record.line, slot)
        else:
            self.unlined += 1
        return 0

    cdef void line_remove(self, uint32_t slot) noexcept nogil:
        if not self.lines.remove(self.records[slot].line, slot):
            self.unlined -= 1

    cdef int take_endpoint(self, Record* record, str endpoint, str redirect) except -1:
        """Gives it an endpoint in the place of what it had."""
        cdef uint32_t former = record.endpoint
        record.endpoint = self.endpoints.take(endpoint, redirect)
        if former:
            self.endpoints.release(former)
        return 0

    cdef char* _join(self, tuple parts) except NULL:
        cdef Py_ssize_t total = 0
        cdef char* text
        cdef bytes part
        for part in parts:
            if PyBytes_GET_SIZE(part) > 65535:
                raise LocalError("a URI or name is longer than 65535 bytes")
            total += PyBytes_GET_SIZE(part)
        text = <char*>malloc(total if total else 1)
        if text == NULL:
            raise MemoryError
        total = 0
        for part in parts:
            memcpy(text + total, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
            total += PyBytes_GET_SIZE(part)
        return text

    cdef void _write_line(self, Record* record, const uint8_t* random) noexcept nogil:
        cdef uint64_t value = 0
        cdef int at
        for at in range(8):
            value = value << 8 | random[at]
        for at in range(7):
            record.line[at] = <char>(97 + value % 26)
            value //= 26
        record.line[7] = 0

    cdef str name_of(self, const Record* record):
        cdef const char* start = record.text + record.client_uri_length + record.user_length
        return PyBytes_FromStringAndSize(
            start + record.contact_length, record.name_length).decode("utf-8", "surrogateescape")

    cdef bint is_bound(self, const Record* record, int64_t now_ns) noexcept nogil:
        return record.expires_ns > now_ns

    cdef void fill_in(self, Record* record, PolicyState policy, Fill* fill) noexcept nogil:
        fill.call_id = record.call_id
        fill.client_uri.data = record.text
        fill.client_uri.length = record.client_uri_length
        fill.contact_user.data = record.text + record.client_uri_length
        fill.contact_user.length = record.user_length
        fill.contact.data = fill.contact_user.data + record.user_length
        fill.contact.length = record.contact_length
        fill.line.data = record.line
        fill.line.length = 7 if policy.line else 0
        fill.credentials.data = fill.verify.data = NULL
        fill.credentials.length = fill.verify.length = 0
        fill.reg_id = fill.instance.length = 0
        if policy.mediasec:
            fill.verify = security_verify(record.annexes)
            fill.after_494 = record.code == 494 and record.rounds == 0

    cdef int contact_of(self, Record* record, PolicyState policy, char* out) except -2:
        """The Contact URI as it is sent."""
        cdef Fill fill
        self.fill_in(record, policy, &fill)
        return policy.template_for(self.faces, record.face).contact_into(
            out, CONTACT_BYTES_MAX, &fill)

    cdef int note_reason(self, Record* record, const char* text, uint32_t length) noexcept nogil:
        """Keeps the reason phrase of a failure; no memory for it: goes without."""
        cdef uint32_t at
        free(record.reason)
        record.reason = NULL
        if length == 0:
            return 0
        length = min(length, <uint32_t>REASON_BYTES_MAX)
        record.reason = <char*>malloc(length + 1)
        if record.reason != NULL:
            memcpy(record.reason, text, length)
            record.reason[length] = 0
            for at in range(length):
                if 0 <= record.reason[at] < 32 or record.reason[at] == 127:
                    record.reason[at] = 32
        return 0


def record_bytes():
    """The size of one record in bytes, without what hangs off it."""
    return sizeof(Record)
