"""What passes between the attempts and the wire: responses in, REGISTERs and answers out.

A response finds its record by the slot in its branch; generation and salt tell whether it is ours.
A REGISTER is built anew at each send from its policy's template; a retransmission comes out the
same to the byte.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint16_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from regiment.datagram cimport format_peer
from regiment.metrics.scoreboard cimport record_ns
from regiment.sip.branch cimport BRANCH_BYTES, read_branch
from regiment.sip.field cimport Span
from regiment.sip.request cimport Fill, Template
from regiment.sip.scanner cimport M_REGISTER, SCAN_OK, scan
from regiment.uac.passage cimport NOBODY
from regiment.uac.challenge cimport credentials_bound, write_credentials
from regiment.uac.flow cimport FLOW_OPEN, Flow
from regiment.uac.inbound cimport MEANS_ANYBODY, MEANS_NOBODY, MEANS_ONE, line_in
from regiment.uac.outbound cimport INSTANCE_BYTES
from regiment.uac.policy cimport C_TRANSPORT, K_UNREGISTER
from regiment.uac.registration cimport Face, ICMP_ONCE, LEAVING, SENT, STREAM
from regiment.uac.transaction cimport (
    TX_1XX, TX_FINAL, TX_PROCEEDING, TX_TRANSPORT_ERROR, TX_TRYING, transaction_advance,
)

from regiment import model
from regiment.sip import names

cdef int64_t NS_PER_MS = 1_000_000


cdef enum:
    LAID = 0
    NOTHING                    # it has been answered, or ended, meanwhile
    NO_WAY                     # there is no connection that takes it
    FULL                       # the outbox has no room


cdef inline uint32_t slot_of(const Datagram* datagram, const Message* message) noexcept nogil:
    """The slot that a response's branch names, whoever wrote it; NOBODY: none."""
    cdef uint32_t slot = NOBODY, generation = 0
    cdef uint64_t salt = 0
    if read_branch(datagram.data + message.via_branch.start, message.via_branch.length, &slot,
                   &generation, &salt):
        return slot
    return NOBODY


cdef class Exchange(Attempts):
    """The wire's side of the engine."""

    def __dealloc__(self):
        free(self.scratch)

    # ------------------------------------------------------------------ in

    def receive(self, Batch inbox, now_ns):
        # In a large population each record is cold when its response comes. So a few datagrams
        # are read first, and the memory of each fetched while the others are looked at.
        cdef int64_t now = now_ns
        cdef uint32_t first, at, count
        cdef Message messages[AHEAD]
        cdef int errors[AHEAD]
        cdef uint32_t slots[AHEAD]
        cdef const Datagram* datagram
        for first in range(0, inbox.count, AHEAD):
            count = min(inbox.count - first, <uint32_t>AHEAD)
            for at in range(count):
                datagram = &inbox.items[first + at]
                errors[at] = scan(datagram.data, datagram.length, &messages[at])
                slots[at] = slot_of(datagram, &messages[at])
                self._fetch(slots[at])
            for at in range(count):
                self._fetch_rest(slots[at])
            for at in range(count):
                datagram = &inbox.items[first + at]
                if errors[at] != SCAN_OK:
                    self.cells.discarded[errors[at] - 1] += 1
                elif messages[at].is_request:
                    self._respond(datagram, &messages[at], now)
                else:
                    self._take_response(datagram, &messages[at], now)

    cdef void _fetch(self, uint32_t slot) noexcept nogil:
        cdef const char* record
        if slot < self.count:
            record = <const char*>&self.records[slot]
            prefetch(record)
            prefetch(record + 64)
            prefetch(record + 128)
            prefetch(&self.wheel.due_tick[slot])
            prefetch(&self.wheel.next[slot])
            if slot < self.entry_count:
                prefetch_to_write(&self.entries[slot])
                prefetch_to_write(<const char*>&self.entries[slot] + 64)
                prefetch_to_write(<const char*>&self.entries[slot] + 128)

    cdef void _fetch_rest(self, uint32_t slot) noexcept nogil:
        """What a record points to, once the record itself is near."""
        cdef const Record* record
        if slot < self.count:
            record = &self.records[slot]
            prefetch(record.text)
            prefetch(&self.keyring.items[record.credential])
            if record.nonce != NULL:
                prefetch(record.nonce)
                prefetch(<const char*>record.nonce + 64)

    cdef int64_t _own_slot(self, const char* branch, uint32_t length) noexcept:
        """The registration whose transaction runs under that branch; else -1, and counted."""
        cdef uint32_t slot = 0, generation = 0
        cdef uint64_t salt = 0
        cdef Record* record
        if not read_branch(branch, length, &slot, &generation, &salt) or slot >= self.count:
            self.cells.stray[0] += 1
            return -1
        record = &self.records[slot]
        if generation != record.generation:
            if <uint32_t>(record.generation - generation) <= 4:
                self.cells.retransmitted[0] += 1
            else:
                self.cells.stray[0] += 1
            return -1
        if salt != record.salt:
            self.cells.branch_salt[0] += 1
            return -1
        if record.transaction != TX_TRYING and record.transaction != TX_PROCEEDING:
            self.cells.retransmitted[0] += 1
            return -1
        return slot

    cdef int _take_response(self, const Datagram* datagram, const Message* message,
                            int64_t now_ns) except -1:
        cdef int64_t slot = self._own_slot(
            datagram.data + message.via_branch.start, message.via_branch.length)
        cdef Record* record
        cdef Target target
        cdef int actions = 0
        cdef int64_t received_ns
        if slot < 0:
            return 0
        record = &self.records[slot]
        if message.cseq != record.cseq or message.cseq_method != M_REGISTER or (
                not record.flags & SENT):
            self.cells.wrong_cseq[0] += 1
            return 0
        if message.status < 100 or message.status > 699:
            self.cells.discarded[1] += 1
            return 0
        self.cells.responses[message.status - 100] += 1
        target = (<PolicyState>self.policies[record.policy]).target
        self.heard(record, target, now_ns)
        if datagram.flow:
            self.note_flow(datagram.flow, now_ns)
        if message.status < 200:
            record.transaction = <unsigned char>transaction_advance(
                record.transaction, TX_1XX, datagram.flow != 0, &actions)
            return 0
        record.transaction = <unsigned char>transaction_advance(
            record.transaction, TX_FINAL, datagram.flow != 0, &actions)
        # a kernel's stamp, unless it lies before the send or in the future
        received_ns = datagram.time_ns
        if received_ns < record.sent_ns or received_ns > now_ns:
            received_ns = now_ns
        record_ns(self.cells.transaction[message.status // 100 - 2], received_ns - record.sent_ns)
        record.answered_ns = received_ns
        self.vacate(record, target, now_ns)
        self.wheel.cancel(<uint32_t>slot)
        self.said, self.said_data = message, datagram.data
        self.on_final(<uint32_t>slot, datagram.data, message, received_ns, now_ns)
        self.said = NULL
        return 0

    cdef int _respond(self, const Datagram* datagram, const Message* message,
                      int64_t now_ns) except -1:
        cdef int64_t slot = -1
        cdef int meant = self._meant_by(datagram.data, message, &slot)
        cdef int status, group
        cdef bytes redirect
        destination = self.endpoints.at(self.records[slot].endpoint if slot >= 0 else 0)
        redirect = destination.redirect
        self.cells.inbound[<int>destination.row][message.method] += 1
        status = self.inbound.status_for(message, meant, PyBytes_GET_SIZE(redirect) > 0)
        if status and (not self.inbound.may_answer(&datagram.peer, now_ns) or self.inbound.answer(
                datagram, message, self.replies, status, redirect) < 0):
            self.cells.inbound_limit[0] += 1
            return 0
        if slot >= 0 and self.correspondence.may_tell(message.method, now_ns):
            self._tell_call(slot, datagram, message, status)
        if status == 0:
            return 0
        self.cells.requests_answered[message.method][
            self._protocol_of(datagram)] += 1
        group = 0 if message.method == M_REGISTER else 1 if status == 200 else 2
        self.cells.answered[group][status - 100] += 1
        return 0

    cdef int _protocol_of(self, const Datagram* datagram) noexcept:
        cdef Flow flow = self.flow_at(datagram.flow)
        if flow is None:
            return 0
        return (<Face>self.faces[flow.target.addresses[flow.place].face]).protocol

    cdef int _meant_by(self, const char* data, const Message* message, int64_t* slot) noexcept:
        """Whom a request is for; MEANS_ONE: *slot."""
        cdef Span line
        cdef int which
        cdef bint any_line = False
        for which in range(2):
            if not line_in(data, message, which, &line):
                continue
            any_line = True
            slot[0] = self.lines.find(data + line.start, line.length)
            if slot[0] >= 0:
                return MEANS_ONE
        return MEANS_NOBODY if any_line or self.unlined == 0 else MEANS_ANYBODY

    cdef int _tell_call(self, int64_t slot, const Datagram* datagram, const Message* message,
                        int status) except -1:
        cdef Record* record = &self.records[slot]
        cdef char address[64]
        cdef uint16_t port = 0
        cdef int length = format_peer(&datagram.peer, address, &port)
        host = (<bytes>address[:length]).decode("ascii")
        self.correspondence.tell(model.Call(
            self.name_of(record), self.endpoints.at(record.endpoint).endpoint,
            names.METHODS[message.method] or "other", status,
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}"))
        return 0

    def calls(self):
        return self.correspondence.take()

    def icmp(self, bytes quoted, bytes peer, now_ns):
        """The second error for a transaction ends it as 503 (RFC 3261 18.4)."""
        cdef Py_ssize_t at = quoted.find(b"z9hG4bK")
        cdef int64_t slot = -1
        cdef int actions = 0
        cdef Record* record
        if at >= 0 and at + BRANCH_BYTES <= PyBytes_GET_SIZE(quoted):
            slot = self._own_slot(PyBytes_AS_STRING(quoted) + at, BRANCH_BYTES)
        if slot < 0:
            self._count_icmp(self.target_at.get(peer))
            return
        record = &self.records[slot]
        self._count_icmp((<PolicyState>self.policies[record.policy]).target)
        if not record.flags & ICMP_ONCE:
            record.flags |= ICMP_ONCE
            return
        record.transaction = <unsigned char>transaction_advance(
            record.transaction, TX_TRANSPORT_ERROR, False, &actions)
        self.wheel.cancel(<uint32_t>slot)
        self.on_error(<uint32_t>slot, 503, C_TRANSPORT, "ICMP: unreachable", now_ns)

    cdef int _count_icmp(self, Target target) except -1:
        """Nobody's, where the address is no longer one of a target's: the row of the others."""
        self.cells.rows[target.row if target is not None else 0].icmp[0] += 1
        return 0

    # ------------------------------------------------------------------ out

    def send(self, Batch outbox, now_ns):
        cdef int64_t now = now_ns
        cdef uint32_t slot
        cdef int written
        if self.replies.count and self._forward_replies(outbox) == 0:
            return True
        while self.sending.first != NOBODY:
            slot = self.sending.first
            self._fetch(self.records[slot].send_next)
            written = self._send_one(slot, outbox, now)
            if written == FULL:
                return True
            self.take_first(&self.sending)
            if written == NO_WAY:
                # its connection is gone, or takes nothing at present
                self.convey(slot, &self.records[slot],
                            (<PolicyState>self.policies[self.records[slot].policy]).target, now)
            if self.records[slot].flags & LEAVING:
                self.retire(slot)
        return False

    cdef int _forward_replies(self, Batch outbox) except -1:
        """1: all answers to requests stand in the outbox; 0: it is full."""
        cdef Datagram* reply
        cdef char* room
        while self.replies.cursor < self.replies.count:
            reply = &self.replies.items[self.replies.cursor]
            if reply.flow and not self.takes(reply.flow):
                self.cells.inbound_limit[0] += 1         # who does not read gets no answers
                self.replies.cursor += 1
                continue
            room = outbox.reserve(reply.length)
            if room == NULL:
                return 0
            memcpy(room, reply.data, reply.length)
            if reply.flow:
                outbox.commit_flow(reply.length, &reply.peer, reply.flow)
            else:
                outbox.commit(reply.length, &reply.peer, reply.socket)
            self.replies.cursor += 1
        self.replies.clear()
        return 1

    cdef bint takes(self, uint32_t number) noexcept:
        cdef Flow flow = self.flow_at(number)
        return flow is not None and flow.state == FLOW_OPEN and flow.writable

    cdef int _scratch_for(self, uint32_t length) except -1:
        cdef char* scratch
        if length > self.scratch_bytes:
            scratch = <char*>realloc(self.scratch, length)
            if scratch == NULL:
                raise MemoryError
            self.scratch, self.scratch_bytes = scratch, length
        return 0

    cdef int _send_one(self, uint32_t slot, Batch outbox, int64_t now_ns) except -2:
        """LAID: it stands in the outbox; or why not."""
        cdef Record* record = &self.records[slot]
        cdef PolicyState policy = <PolicyState>self.policies[record.policy]
        cdef char instance[INSTANCE_BYTES]
        cdef Fill fill
        cdef Template template
        cdef uint32_t bound
        cdef int length
        cdef char* room
        cdef Face face = <Face>self.faces[record.face]
        cdef Flow flow = None
        if record.transaction != TX_TRYING and record.transaction != TX_PROCEEDING:
            return NOTHING
        if record.flags & STREAM:
            flow = self.flow_at(record.flow)
            if flow is None or flow.state != FLOW_OPEN or not flow.writable:
                return NO_WAY
        self.fill_in(record, policy, &fill)
        if policy.forms_flows:
            self.lay_flow(record, &fill, instance)
        template = policy.template_for(self.faces, record.face)
        bound = <uint32_t>template.bound(&fill)
        if record.nonce != NULL:
            length = <int>credentials_bound(self, record, policy)
            self._scratch_for(<uint32_t>length)
            bound += length
        room = outbox.reserve(bound)
        if room == NULL:
            return FULL
        if record.nonce != NULL:
            length = write_credentials(self, record, policy, self.scratch, self.scratch_bytes)
            fill.credentials.data = self.scratch
            fill.credentials.length = <uint32_t>max(length, 0)
        fill.slot, fill.generation, fill.salt = slot, record.generation, record.salt
        fill.from_tag, fill.cseq = record.from_tag, record.cseq
        fill.expires = 0 if record.kind == K_UNREGISTER else <int64_t>record.requested_s
        length = template.build(room, bound, &fill)
        if length < 0:
            return FULL
        if flow is not None:
            outbox.commit_flow(<uint32_t>length,
                               &policy.target.addresses[record.address].peer, flow.number)
        else:
            outbox.commit(<uint32_t>length, &policy.target.addresses[record.address].peer,
                          face.socket)
        if not record.flags & SENT:
            self._mark_sent(slot, record, policy, face, now_ns)
        return LAID

    cdef void _mark_sent(self, uint32_t slot, Record* record, PolicyState policy, Face face,
                         int64_t now_ns) noexcept:
        """Timers E and F run from the first send (RFC 3261 17.1.2.2); over a connection F alone."""
        record.flags |= SENT
        record.sent_ns = now_ns
        if record.started_ns == 0:
            record.started_ns = now_ns
            record_ns(self.cells.schedule_delay, now_ns - record.intended_ns)
        else:
            # from the answer's arrival to this send was our own time, not the registrar's
            record.started_ns += now_ns - record.answered_ns
        record.give_up_ns = now_ns + policy.rules.timer_b_ms * NS_PER_MS
        policy.target.addresses[record.address].busy_until_ns = record.give_up_ns
        record.timer_e_ms = policy.rules.timer_t1_ms
        self.cells.requests_sent[face.protocol][0] += 1
        if record.flags & STREAM:
            self.wheel.arm(slot, record.give_up_ns)
            return
        self.wheel.arm(slot, min(now_ns + record.timer_e_ms * NS_PER_MS, record.give_up_ns))
