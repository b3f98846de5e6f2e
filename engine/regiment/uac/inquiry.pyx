"""What is asked of the registrations. Nothing here changes one of them.

Every question over many registrations is bounded in slots, so that the worker can put its turns
between the parts of an answer.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memset

from regiment.uac.cells cimport ROWS
from regiment.uac.exchange cimport prefetch
from regiment.uac.ledger cimport mark_of
from regiment.uac.notice cimport TURNS_MAX, Turn, place_of
from regiment.uac.policy cimport (
    S_REFRESHING, S_REGISTERED, S_UNREGISTERED, S_UNREGISTERING,
)
from regiment.uac.registration cimport CONTACT_BYTES_MAX, Face, HELD, LEAVING, UNUSED
from regiment.uac.transaction cimport TX_PROCEEDING, TX_TRYING

from regiment import model
from regiment.uac.destination import AddressHealth, Health

cdef int64_t NS_PER_S = 1_000_000_000
REASONS_MAX = 1000

cdef enum:
    FETCHED_AHEAD = 8
    CHANGES_MAX = 8


cdef inline str text_of(const char* data, Py_ssize_t length):
    return PyBytes_FromStringAndSize(data, length).decode("utf-8", "replace")


cdef class Inquiry(Recovery):
    """The side of the engine that answers questions. See inquiry.pyi for the face."""

    def __contains__(self, name):
        return self.find_staying(name) >= 0

    # ------------------------------------------------------------------ one

    def status(self, name, now_ns):
        cdef int64_t slot = self.find_staying(name)
        if slot < 0:
            return None
        return self._status_of(<uint32_t>slot, now_ns, True)

    def policy_of(self, name):
        cdef int64_t slot = self.find_staying(name)
        if slot < 0:
            return None
        return (<PolicyState>self.policies[self.records[slot].policy]).policy

    cdef object _status_of(self, uint32_t slot, int64_t now_ns, bint with_changes):
        cdef Record* record = &self.records[slot]
        cdef PolicyState policy = <PolicyState>self.policies[record.policy]
        cdef int64_t due = self.wheel.due_ns(slot)
        if record.transaction == TX_TRYING or record.transaction == TX_PROCEEDING:
            due = -1
        return model.Status(
            name=self.name_of(record),
            server_uri=policy.policy.server_uri,
            client_uri=text_of(record.text, record.client_uri_length),
            state=model.STATES[record.state],
            code=record.code,
            failure_class=model.CLASSES[record.failure_class],
            reason="" if record.reason == NULL else (<bytes>record.reason).decode(
                "utf-8", "replace"),
            call_id=(<bytes>(<char*>record.call_id)[:16]).hex(),
            cseq=record.cseq,
            retries=record.retries,
            granted_s=record.granted_s,
            expires_in_s=(record.expires_ns - now_ns) / 1e9 if record.expires_ns else -1.0,
            next_attempt_in_s=(due - now_ns) / 1e9 if due >= 0 else -1.0,
            target=policy.target.label,
            auth=self._auth_text(record),
            contact=self._contact_text(record, policy),
            line=text_of(record.line, 7) if policy.line else "",
            endpoint=self.endpoints.at(record.endpoint).endpoint,
            group=policy.policy.group,
            failing_for_s=(now_ns - record.failing_ns) / 1e9 if record.failing_ns else -1.0,
            is_held=record.flags & HELD != 0,
            affinity=self.affinity_of(record),
            changes=self._changes_of(slot, now_ns) if with_changes and self._is_unhealthy(
                record) else (),
        )

    cdef tuple _changes_of(self, uint32_t slot, int64_t now_ns):
        """Its last changes of state, oldest first: a walk over the ring, some 50 µs."""
        cdef uint32_t mark = mark_of(<const char*>self.records[slot].call_id, 16)
        cdef uint32_t at = self.turn_at
        cdef uint32_t first = at - TURNS_MAX if at > TURNS_MAX else 0
        cdef const Turn* turn
        found = []
        while at > first and len(found) < CHANGES_MAX:
            at -= 1
            turn = &self.turns[at % TURNS_MAX]
            if turn.slot == slot and turn.mark == mark:
                found.append(model.Change(
                    (now_ns - turn.at_ns) / 1e9, model.STATES[turn.state_from],
                    model.STATES[turn.state_to], turn.code, model.CLASSES[turn.failure_class]))
        return tuple(found[::-1])

    cdef str _auth_text(self, const Record* record):
        cdef const char* at = record.text + record.client_uri_length + record.user_length
        return text_of(at + record.contact_length + record.name_length, record.auth_length)

    cdef str _contact_text(self, Record* record, PolicyState policy):
        cdef char contact[CONTACT_BYTES_MAX]
        return text_of(contact, max(self.contact_of(record, policy, contact), 0))

    # ------------------------------------------------------------------ targets

    def healths(self, now_ns, targets=None):
        if targets is None:
            return [self._health_of(target, now_ns) for target in self.target_list]
        return [self._health_of(self.target_list[index], now_ns) for index in targets
                if 0 <= index < len(self.target_list)]

    cdef object _health_of(self, Target target, int64_t now_ns):
        cdef const Address* address
        cdef int64_t gate_ns, opens_ns = 0, asked_ns = 0
        cdef uint32_t at, outstanding = 0
        cdef bint is_open = target.address_count == 0
        found = []
        for at in range(target.address_count):
            address = &target.addresses[target.order[at]]
            outstanding += address.outstanding
            gate_ns = max(address.gated_until_ns - now_ns, <int64_t>0)
            is_open = is_open or gate_ns == 0
            opens_ns = gate_ns if opens_ns == 0 else min(opens_ns, gate_ns)
            if address.failures == 0:
                asked_ns = max(asked_ns, gate_ns)
            found.append(self._address_health(target, address, gate_ns))
        return Health(
            target.index, tuple(found), outstanding,
            window=target.outstanding_limit,
            rate=target.learned_rate,
            gate_s=0.0 if is_open else opens_ns / 1e9,
            retry_after_s=asked_ns / 1e9,
            waiting=target.queue.count + target.departures.count,
            open=target.open, connecting=target.connecting,
            reason=target.trouble)

    cdef object _address_health(self, Target target, const Address* address, int64_t gate_ns):
        cdef Face face = <Face>self.faces[address.face]
        reason = ""
        if address.failures:
            state, reason = "down", target.trouble
        elif gate_ns:
            state = "gated"
        elif address.probe_ns:
            state, reason = "suspect", "no answer"
        else:
            state = "unproven" if address.window else "up"
        return AddressHealth(
            place_of(&address.peer), face.transport.name, face.transport.protocol, state,
            address.outstanding, address.window, gate_ns / 1e9, reason)

    # ------------------------------------------------------------------ some

    def slots(self):
        return self.count

    def names(self, start, count):
        cdef uint32_t slot
        return [self.name_of(&self.records[slot])
                for slot in range(start, min(start + count, self.count))
                if not self.records[slot].flags & (UNUSED | LEAVING)]

    def page(self, start, limit, scan, now_ns, *, state="", registrar="", prefix="", like=None):
        cdef int64_t now = now_ns
        cdef int64_t slot = start
        cdef int64_t end = min(<int64_t>start + <int64_t>scan, <int64_t>self.count)
        cdef Py_ssize_t most = limit
        cdef int wanted = model.STATES.index(state) if state else -1
        cdef bytes begins = prefix.encode("utf-8", "surrogateescape")
        cdef const char* name
        cdef Record* record
        found = []
        while slot < end and len(found) < most:
            if slot + FETCHED_AHEAD < end:
                prefetch(&self.records[slot + FETCHED_AHEAD].state)
            record = &self.records[slot]
            slot += 1
            if wanted >= 0 and record.state != wanted or record.flags & (UNUSED | LEAVING):
                continue
            if registrar and (<PolicyState>self.policies[record.policy]).target.label != registrar:
                continue
            if begins or like is not None:
                name = record.text + record.client_uri_length + record.user_length
                name += record.contact_length
                if record.name_length < PyBytes_GET_SIZE(begins) or memcmp(
                        name, PyBytes_AS_STRING(begins), PyBytes_GET_SIZE(begins)) != 0:
                    continue
                if like is not None and not like.search(
                        PyBytes_FromStringAndSize(name, record.name_length)):
                    continue
            found.append(self._status_of(<uint32_t>(slot - 1), now, False))
        return found, (-1 if slot >= self.count else slot)

    # ------------------------------------------------------------------ all

    cdef bint _is_unhealthy(self, const Record* record) noexcept nogil:
        if record.flags & (UNUSED | LEAVING):
            return False
        return record.failure_class != 0 and record.state != S_REGISTERED and (
            record.state != S_REFRESHING) and record.state != S_UNREGISTERED and (
            record.state != S_UNREGISTERING)

    def tally(self, start, scan, counts):
        cdef int64_t slot = start
        cdef int64_t end = min(<int64_t>start + <int64_t>scan, <int64_t>self.count)
        cdef Record* record
        cdef PolicyState policy
        while slot < end:
            if slot + FETCHED_AHEAD < end:
                prefetch(&self.records[slot + FETCHED_AHEAD].state)
            record = &self.records[slot]
            slot += 1
            if not self._is_unhealthy(record):
                continue
            policy = <PolicyState>self.policies[record.policy]
            reason = "" if record.reason == NULL else (<bytes>record.reason).decode(
                "utf-8", "replace")
            key = (policy.target.label, model.STATES[record.state],
                   model.CLASSES[record.failure_class], record.code, reason)
            held = counts.get(key)
            if held is None and len(counts) >= REASONS_MAX:
                # a registrar that words each refusal differently must not eat the memory
                key = (*key[:4], "")
                held = counts.get(key)
            if held is None:
                counts[key] = [1, self.name_of(record)]
            else:
                held[0] += 1
        return -1 if slot >= self.count else slot

    def survey(self, now_ns):
        cdef int64_t now = now_ns
        cdef int64_t left
        cdef uint32_t slot
        cdef Record* record
        cdef Target target
        cdef int row
        for row in range(ROWS):
            memset(self.cells.rows[row].expiring, 0, 4 * sizeof(unsigned long long))
        for slot in range(self.count):
            record = &self.records[slot]
            if record.expires_ns == 0 or record.expires_ns - now > 300 * NS_PER_S or (
                    record.flags & UNUSED):
                continue
            target = (<PolicyState>self.policies[record.policy]).target
            self.note_lapse(record, target, now)
            if record.expires_ns == 0:
                continue
            left = record.expires_ns - now
            self.cells.rows[target.row].expiring[3] += 1
            self.cells.rows[target.row].expiring[2] += left <= 60 * NS_PER_S
            self.cells.rows[target.row].expiring[1] += left <= 30 * NS_PER_S
            self.cells.rows[target.row].expiring[0] += left <= 10 * NS_PER_S
        left = 0
        self.count_flow_users()
        for target in self.target_list:
            left += not target.reuse_allowed(now)
        self.cells.reuse_disabled[0] = left
