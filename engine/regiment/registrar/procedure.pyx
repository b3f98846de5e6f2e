# cython: boundscheck=False, wraparound=False, cdivision=True
"""What becomes of one datagram: RFC 3261 section 8.2 for any request, section 10.3 for REGISTER.

The order for a REGISTER: scheme of the Request-URI (416) · scripted status · Require (420) · To and
its domain (400, 404) · credentials (401) · whose AOR it is (403) · limit (503) ·
Contacts (`update`) · 200.

Step 1 of section 10.3 (is the domain of the Request-URI ours?) is left out: this registrar proxies
for nobody, and clients name it by whatever address they were given. Step 5 looks at the AOR's host.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcmp, strlen

from regiment.errors import LocalError
from regiment.registrar import counts
from regiment.registrar import settings as settings_module

from cpython.memoryview cimport PyMemoryView_GET_BUFFER

from regiment.datagram cimport Batch, Datagram
from regiment.registrar.aor cimport Identity, identify, is_sip
from regiment.registrar.answer cimport Writer, copy_headers, put, put_number, write_head
from regiment.registrar.challenge cimport Challenger, Proof
from regiment.registrar.counts cimport (
    CELL_CREDENTIALS,
    CELL_DELAYED,
    CELL_DISCARDED,
    CELL_FAULTS,
    CELL_REQUESTS,
    CELL_RESPONSES,
    CELL_RETRANSMISSIONS,
    CELL_USERS,
    DISCARD_OVERSIZE,
    DISCARD_QUEUE,
    DISCARD_RESPONSE,
    FAULT_DELAY,
    FAULT_DROP_IN,
    FAULT_DROP_OUT,
    FAULT_LIMIT,
    FAULT_SILENT,
    FAULT_STATUS,
    NO_CREDENTIALS,
    REPLAYED,
    STALE,
    UNREADABLE,
    VERIFIED,
)
from regiment.registrar.delay cimport DelayLine
from regiment.keyed cimport Key, derive_key, keyed_hash
from regiment.registrar.keyring cimport Keyring
from regiment.registrar.location cimport NO_AOR, Binding, Location
from regiment.registrar.outbound cimport (
    OUTBOUND_REFUSE,
    OUTBOUND_YES,
    judge_outbound,
)
from regiment.registrar.script cimport (
    SCOPE_ANY,
    SCOPE_INITIAL,
    SCOPE_REFRESH,
    SCOPE_UNREGISTER,
    Script,
    Scripted,
)
from regiment.registrar.update cimport Update, carry_out, is_removal, judge
from regiment.sip.field cimport Span, equals_folded, skip_address, trimmed
from regiment.sip.scanner cimport (
    H_CALL_ID,
    H_CSEQ,
    H_FROM,
    H_PATH,
    H_REQUIRE,
    H_TO,
    H_VIA,
    M_ACK,
    M_CANCEL,
    M_OPTIONS,
    M_REGISTER,
    SCAN_CSEQ,
    SCAN_LENGTH,
    SCAN_OK,
    Message,
    next_header,
    scan,
)

cdef enum:
    MAX_DATAGRAM_BYTES = 65507   # of a UDP payload over IPv4
    QUEUE_ANSWERS = 4096
    QUEUE_BYTES = 4 * 1024 * 1024
    MAX_UNSUPPORTED = 16         # option tags that a 420 names

# 64 * T1: that long a retransmission may come
cdef int64_t TIMER_J_NS = 32_000_000_000


cdef class Procedure:
    def __init__(self, settings, seed, cells, uint32_t max_aors):
        self.memory = memoryview(bytearray(counts.SIZE_BYTES) if cells is None else cells).cast("B")
        if self.memory.readonly or self.memory.nbytes < counts.SIZE_BYTES:
            raise LocalError(f"the counts need {counts.SIZE_BYTES} bytes that can be written")
        self.cells = <uint64_t*>PyMemoryView_GET_BUFFER(self.memory).buf
        self.transaction_key = derive_key(seed, b"transaction")
        self.aor_key = derive_key(seed, b"aor")
        self.call_id_key = derive_key(seed, b"call-id")
        self.flow_hash = derive_key(seed, b"flow")
        lifetime_ns = round(settings.nonce_lifetime_s * 1e9)
        self.location = Location(max(lifetime_ns, TIMER_J_NS), max_aors)
        self.location.cells = self.cells
        self.seen = Keyring()
        if settings.users is not None:
            self.challenger = Challenger(settings.users, settings.realm, settings.algorithms,
                                         settings.qop, settings.opaque, lifetime_ns, seed)
        self.script = Script(settings.faults, seed)
        self.delayed = DelayLine()
        self.queue = Batch.outbox(QUEUE_ANSWERS, QUEUE_BYTES)
        self.limits.min_expires = settings.min_expires_s
        self.limits.max_expires = settings.max_expires_s
        self.limits.default_expires = settings.default_expires_s
        self.limits.max_contacts = settings.max_contacts
        self.match_user = settings.match_user
        self.domains = [domain.encode() for domain in settings.domains]
        server = f"Server: {settings.server}\r\n" if settings.server else ""
        self.tail = f"{server}Content-Length: 0\r\n\r\n".encode()
        routes = "".join(f"Service-Route: {route}\r\n" for route in settings.service_route)
        self.service_route = routes.encode()
        self.outbound = settings_module.OUTBOUND.index(settings.outbound)
        timer = f"Flow-Timer: {settings.flow_timer_s}\r\n" if settings.flow_timer_s else ""
        tags = "path, outbound" if self.outbound == OUTBOUND_YES else "path"
        self.supported = f"Allow: REGISTER, OPTIONS\r\nSupported: {tags}\r\n".encode()
        self.outbound_headers = f"Require: outbound\r\n{timer}".encode()
        self.date = b""
        self.notices = {}

    cdef int take(self, const Datagram* item, int64_t now_ns) except -1:
        cdef Message message
        cdef Request request
        cdef int error
        if self.script.loses_inbound():
            self.cells[CELL_FAULTS + FAULT_DROP_IN] += 1
            return 0
        error = scan(item.data, item.length, &message)
        if error != SCAN_OK and not _can_be_answered(error, &message):
            self.cells[CELL_DISCARDED + error - 1] += 1
            return 0
        if not message.is_request:
            self.cells[CELL_DISCARDED + DISCARD_RESPONSE] += 1
            return 0
        self.cells[CELL_REQUESTS + message.method] += 1
        # A stateless server ignores both (RFC 3261 section 8.2.7).
        if message.method == M_ACK or message.method == M_CANCEL:
            return 0
        if self.script.silent:
            self.cells[CELL_FAULTS + FAULT_SILENT] += 1
            return 0
        request.item = item
        request.data = item.data
        request.message = &message
        request.now_ns = now_ns
        request.transaction = _transaction(self, item.data, &message)
        if self.delayed.count and self.delayed.holds(request.transaction):
            self.cells[CELL_RETRANSMISSIONS] += 1
            return 0
        if error != SCAN_OK or (message.cseq_method and message.method != message.cseq_method):
            return _answer(self, &request, 400, b"400 Bad Request", b"")
        if message.method == M_REGISTER:
            return _register(self, &request)
        if message.method == M_OPTIONS:
            return _answer(self, &request, 200, b"200 OK",
                           self.supported)
        return _answer(self, &request, 405, b"405 Method Not Allowed",
                       b"Allow: REGISTER, OPTIONS\r\n")


# ------------------------------------------------------------------------------ any request

cdef bint _can_be_answered(int error, const Message* message) noexcept nogil:
    # A request of which only one thing is wrong, and with it all that its answer must repeat.
    if error != SCAN_CSEQ and error != SCAN_LENGTH:
        return 0
    return (message.is_request and message.first[H_VIA].length and message.first[H_FROM].length
            and message.first[H_TO].length and message.first[H_CALL_ID].length
            and message.first[H_CSEQ].length and message.via_sent_by.length)


cdef uint64_t _transaction(Procedure self, const char* data, const Message* message) noexcept nogil:
    # RFC 3261 section 17.2.3; the Call-ID and CSeq keep a client apart that repeats a branch.
    cdef Key key = self.transaction_key
    cdef Span branch = message.via_branch
    if branch.length == 0:
        branch = message.from_tag
    key.k0 ^= keyed_hash(&key, data + branch.start, branch.length)
    key.k0 ^= keyed_hash(&key, data + message.via_sent_by.start, message.via_sent_by.length)
    key.k1 ^= (<uint64_t>message.method << 32) | message.cseq
    return keyed_hash(&key, data + message.first[H_CALL_ID].start,
                      message.first[H_CALL_ID].length)


cdef bint _open(Procedure self, Writer* w, const Request* request, const char* line,
                size_t length) noexcept nogil:
    # Begins an answer at the queue's end; 0: there is no room, and that is counted.
    w.start = self.queue.reserve(MAX_DATAGRAM_BYTES)
    if w.start == NULL:
        self.cells[CELL_DISCARDED + DISCARD_QUEUE] += 1
        return 0
    w.at = w.start
    w.end = w.start + MAX_DATAGRAM_BYTES
    w.full = 0
    write_head(w, line, length, request.data, request.message, &request.item.peer,
               request.transaction)
    return 1


cdef int _close(Procedure self, Writer* w, const Request* request, int code) except -1:
    # Ends an answer and queues it, unless a fault takes it or holds it back.
    cdef uint32_t length
    cdef int64_t delay_ns
    put(w, <const char*>self.tail, len(self.tail))
    if w.full:
        self.cells[CELL_DISCARDED + DISCARD_OVERSIZE] += 1
        return 0
    self.cells[CELL_RESPONSES + code - 100] += 1
    if self.script.loses_outbound():
        self.cells[CELL_FAULTS + FAULT_DROP_OUT] += 1
        return 0
    length = <uint32_t>(w.at - w.start)
    delay_ns = self.script.delay_ns(request.transaction)
    if delay_ns and self.delayed.put(
            w.start, length, request.item, request.transaction, request.now_ns + delay_ns):
        self.cells[CELL_FAULTS + FAULT_DELAY] += 1
        self.cells[CELL_DELAYED] = self.delayed.count
        return 0
    self.queue.commit(length, &request.item.peer, request.item.socket)
    self.queue.items[self.queue.count - 1].flow = request.item.flow
    return 0


cdef int _answer(Procedure self, const Request* request, int code, const char* line,
                 const char* headers) except -1:
    # An answer that says nothing about bindings.
    cdef Writer w
    if not _open(self, &w, request, line, strlen(line)):
        return 0
    put(&w, headers, strlen(headers))
    return _close(self, &w, request, code)


# ------------------------------------------------------------------------------ REGISTER

cdef int _register(Procedure self, const Request* request) except -1:
    cdef const Message* message = request.message
    cdef Identity aor
    cdef Proof proof
    cdef uint32_t number = NO_AOR
    cdef int known_aor, verdict = VERIFIED
    if not is_sip(request.data, message.request_uri):
        return _answer(self, request, 416, b"416 Unsupported URI Scheme", b"")
    known_aor = _read_aor(self, request, &aor)
    if known_aor == 200:
        number = self.location.find(aor.high, aor.low)
    if self.script.status_count and _apply_status(self, request, number):
        return 0
    if message.count[H_REQUIRE] and _refuse_extensions(self, request):
        return 0
    if known_aor == 400:
        return _answer(self, request, 400, b"400 Bad Request", b"")
    if known_aor == 404:
        return _answer(self, request, 404, b"404 Not Found", b"")
    proof.nonce = 0
    proof.nc = 0
    if self.challenger is not None:
        verdict = _authenticate(self, request, number, &proof)
        if verdict == UNREADABLE:
            return _answer(self, request, 400, b"400 Bad Credentials", b"")
        if verdict != VERIFIED:
            return _challenge(self, request, verdict == STALE or verdict == REPLAYED)
        if self.match_user and (proof.username_length != aor.user_length or memcmp(
                proof.username, aor.text, aor.user_length) != 0):
            return _answer(self, request, 403, b"403 Forbidden", b"")
    if self.script.limit_interval_ns and not (
            number != NO_AOR and self.location.knows(number, request.transaction)) and (
            not self.script.grants(request.now_ns)):
        self.cells[CELL_FAULTS + FAULT_LIMIT] += 1
        return _answer(self, request, 503, b"503 Service Unavailable", self.script.limit_headers)
    return _update(self, request, &aor, number, &proof)


cdef int _read_aor(Procedure self, const Request* request, Identity* out) noexcept:
    # 200: read, and of a domain that is served; 400, 404.
    cdef Span value = request.message.first[H_TO], uri
    cdef uint32_t end = value.start + value.length
    cdef bytes domain
    if skip_address(request.data, value.start, end, &uri) > end or uri.length == 0:
        return 400
    if not is_sip(request.data, uri):
        return 404
    if not identify(&self.aor_key, request.data + uri.start, uri.length, out):
        return 400
    if not self.domains:
        return 200
    for domain in self.domains:
        if <uint32_t>len(domain) == out.host_length and memcmp(
                <const char*>domain, out.text + out.host_start, out.host_length) == 0:
            return 200
    return 404


cdef bint _apply_status(Procedure self, const Request* request, uint32_t number) except -1:
    # 1: the script has answered.
    cdef int scope = SCOPE_ANY
    cdef const Scripted* status
    cdef Writer w
    if self.script.scoped:
        scope = SCOPE_INITIAL
        if is_removal(request.data, request.message):
            scope = SCOPE_UNREGISTER
        elif number != NO_AOR and self.location.is_bound(number, request.now_ns):
            scope = SCOPE_REFRESH
    status = self.script.status(request.transaction, scope)
    if status == NULL:
        return 0
    self.cells[CELL_FAULTS + FAULT_STATUS] += 1
    if _open(self, &w, request, status.line, status.line_length):
        put(&w, status.headers, status.headers_length)
        _close(self, &w, request, status.code)
    return 1


cdef bint _refuse_extensions(Procedure self, const Request* request) except -1:
    # RFC 3261 section 8.2.2.3: 420 with the tags that are not understood; 0: all are.
    cdef const Message* message = request.message
    cdef Span value = message.first[H_REQUIRE], tag
    cdef uint32_t cursor = 0, at, end, lines = 0
    cdef int named = 0
    cdef Writer w
    if not _open(self, &w, request, b"420 Bad Extension", 17):
        return 1
    while lines < message.count[H_REQUIRE] and named < MAX_UNSUPPORTED:
        if message.count[H_REQUIRE] > 1:
            next_header(request.data, message, H_REQUIRE, &cursor, &value)
        lines += 1
        at = value.start
        end = value.start + value.length
        while at < end and named < MAX_UNSUPPORTED:
            tag.start = at
            while at < end and request.data[at] != c",":
                at += 1
            tag.length = at - tag.start
            at += 1
            tag = trimmed(request.data, tag)
            if tag.length == 0 or equals_folded(request.data, tag, b"path", 4):
                continue
            if self.outbound and equals_folded(request.data, tag, b"outbound", 8):
                continue
            put(&w, b"Unsupported: ", 13)
            put(&w, request.data + tag.start, tag.length)
            put(&w, b"\r\n", 2)
            named += 1
    if named:
        _close(self, &w, request, 420)
    # else the answer was never committed, and the next one takes its place
    return named > 0


cdef int _authenticate(Procedure self, const Request* request, uint32_t number,
                       Proof* proof) except -1:
    cdef int verdict = self.challenger.verify(
        request.data, request.message, request.now_ns, proof)
    if verdict == NO_CREDENTIALS:
        return verdict
    if verdict == VERIFIED and number != NO_AOR and not self.location.knows(
            number, request.transaction):
        if proof.nc and self.location.is_replay(number, proof.nonce, proof.nc):
            verdict = REPLAYED
    self.cells[CELL_CREDENTIALS + verdict] += 1
    self.cells[CELL_USERS] = self.challenger.known.count
    return verdict


cdef int _challenge(Procedure self, const Request* request, bint stale) except -1:
    cdef Writer w
    if not _open(self, &w, request, b"401 Unauthorized", 16):
        return 0
    if self.challenger.room() > <size_t>(w.end - w.at):
        w.full = 1
    else:
        w.at += self.challenger.write(w.at, request.now_ns, stale)
    return _close(self, &w, request, 401)


cdef int _update(Procedure self, const Request* request, const Identity* aor, uint32_t number,
                 const Proof* proof) except -1:
    # Steps 6 to 8: nobody but the owner of the AOR comes here.
    cdef const Message* message = request.message
    cdef Update update
    cdef bint is_known = 0
    cdef int status, outbound = judge_outbound(self.outbound, request.data, message)
    if outbound == OUTBOUND_REFUSE:
        return _answer(self, request, 439, b"439 First Hop Lacks Outbound Support", b"")
    if number != NO_AOR:
        self.location.sweep(number, request.now_ns)
        is_known = self.location.knows(number, request.transaction)
    update.aor = number
    update.transaction = request.transaction
    update.call_id = keyed_hash(&self.call_id_key, request.data + message.first[H_CALL_ID].start,
                                message.first[H_CALL_ID].length)
    update.nonce = proof.nonce
    update.nc = proof.nc
    update.cseq = message.cseq
    update.outbound = outbound == OUTBOUND_YES
    update.flow_hash = &self.flow_hash
    status = judge(self.location, request.data, message, &self.limits, &update)
    if is_known:
        self.cells[CELL_RETRANSMISSIONS] += 1
    elif status == 200:
        if number == NO_AOR and update.additions:
            number = update.aor = self.location.open(aor.high, aor.low)
        if number == NO_AOR and update.additions:
            self.notices.setdefault(
                f"the limit of {self.location.limit} AORs is reached: new ones get 503", False)
            return _answer(self, request, 503, b"503 Service Unavailable", b"")
        status = carry_out(self.location, request.data, &update, request.now_ns)
        if self.challenger is None and update.additions:
            self.seen.keep(aor.high, aor.low, 0, NULL)
            self.cells[CELL_USERS] = self.seen.count
    if number != NO_AOR:
        if not is_known:
            self.location.aors[number].transaction = request.transaction
            if proof.nc:
                self.location.aors[number].nonce = proof.nonce
                self.location.aors[number].nc = proof.nc
        self.location.settle(number, request.now_ns)
    return _conclude(self, request, number, status, update.outbound)


cdef int _conclude(Procedure self, const Request* request, uint32_t number, int status,
                   bint outbound) except -1:
    cdef Writer w
    if status == 423:
        if not _open(self, &w, request, b"423 Interval Too Brief", 22):
            return 0
        put(&w, b"Min-Expires: ", 13)
        put_number(&w, <uint64_t>self.limits.min_expires)
        put(&w, b"\r\n", 2)
        return _close(self, &w, request, 423)
    if status == 400:
        return _answer(self, request, 400, b"400 Bad Request", b"")
    if status == 403:
        return _answer(self, request, 403, b"403 Too Many Contacts", b"")
    if status != 200:
        return _answer(self, request, 500, b"500 Server Internal Error", b"")
    if not _open(self, &w, request, b"200 OK", 6):
        return 0
    if outbound:
        put(&w, <const char*>self.outbound_headers, len(self.outbound_headers))
    _put_bindings(self, &w, request, number)
    return _close(self, &w, request, 200)


cdef int _put_bindings(Procedure self, Writer* w, const Request* request,
                       uint32_t number) except -1:
    # Step 8, RFC 3327 section 5.3 (Path comes back) and RFC 3608 section 6.4 (Service-Route).
    cdef const Binding* binding = NULL
    if number != NO_AOR:
        binding = self.location.aors[number].first
    if binding != NULL and self.service_route:
        put(w, <const char*>self.service_route, len(self.service_route))
    while binding != NULL:
        put(w, b"Contact: <", 10)
        put(w, binding.text, binding.uri_length)
        put(w, b">", 1)
        put(w, binding.text + binding.uri_length, binding.parameters_length)
        put(w, b";expires=", 9)
        put_number(w, <uint64_t>remaining_s(binding, request.now_ns))
        put(w, b"\r\n", 2)
        binding = binding.next
    if request.message.count[H_PATH]:
        copy_headers(w, b"Path: ", 6, request.data, request.message, H_PATH)
    if self.date:
        put(w, <const char*>self.date, len(self.date))
    return 0


cdef int64_t remaining_s(const Binding* binding, int64_t now_ns) noexcept nogil:
    return (binding.expires_ns - now_ns + 999_999_999) // 1_000_000_000
