"""Registrations that come, go and change while the engine runs.

A record is changed at once where that harms nothing. Two things are waited for: the end of a
transaction that runs, since its retransmissions must come out the same to the byte; and, where the
Contact changes, the end of the old binding, since an un-REGISTER that is overtaken by the REGISTER
after it would remove both. Meanwhile the wish stands in `pending`, and a later one takes its place.

Three flags say that no binding is wanted: LEAVING (then the slot becomes free), HELD (then it stays
as it is) and MOVING (then it registers anew). `Attempts` un-REGISTERs whoever has one of them.
"""

from regiment.uac.credentials cimport nonces_free
from regiment.uac.governor cimport bucket_set_rate
from regiment.uac.ledger cimport entry_open, long_mark_of
from regiment.uac.policy cimport (
    K_INITIAL, S_REGISTERED, S_REJECTED, S_UNREGISTERED, S_WAITING,
)
from regiment.uac.registration cimport (
    BEGUN, EVER, GHOST, GOING, HELD, IN_QUEUE, IN_SEND, LEAVING, MOVING, PENDING, Face,
)
from regiment.uac.target cimport Target
from regiment.uac.transaction cimport TX_PROCEEDING, TX_TRYING

from libc.stdint cimport uint64_t
from libc.string cimport memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from regiment.errors import LocalError
from regiment.uac.destination import destination_of, label_of
from regiment import model

cdef enum:
    CSEQ_STEP = 64           # a replacement's CSeq is so far above that of whom it replaces


cdef object graver_of(object a, object b):
    """Of two kinds of change the one that asks for more."""
    return max(a, b, key=model.CHANGES.index)


cdef class Changes(Exchange):
    """See change.pyi."""

    # ------------------------------------------------------------------ policies and targets

    def add_transport(self, transport, socket, host, port):
        number = len(self.transports)
        self.transports.append((transport, socket, self.face_number(number, transport, socket,
                                                                    host, port)))
        return number

    def add_policy(self, policy):
        cdef PolicyState state
        cdef bytes place
        numbers = self._transports_of(policy)
        target = self._target_for(policy, numbers)
        certificate = self.certificates.setdefault(policy.certificate, len(self.certificates))
        state = PolicyState(policy, target, self.transports[numbers[0]][2], certificate)
        state.template_for(self.faces, state.face)
        place = "\0".join((policy.server_uri, *policy.outbound_proxy)).encode(
            "utf-8", "surrogateescape")
        state.mark = long_mark_of(PyBytes_AS_STRING(place), PyBytes_GET_SIZE(place), 0)
        if self.unused_policies:
            number = self.unused_policies.pop()
            self.policies[number] = state
        else:
            number = len(self.policies)
            self.policies.append(state)
        if self.policy_numbers is not None:
            self.policy_numbers[policy] = number
        return number

    def _transports_of(self, policy):
        """Numbers of the transports that may carry a policy's requests."""
        wanted = policy.transports
        numbers = tuple([number for number, (transport, _, _) in enumerate(self.transports)
                         if transport.name in wanted])
        if not wanted and self.transports:
            return (0,)
        if not numbers:
            raise LocalError(f"no transport {wanted[0] if wanted else 'at all'!r} for "
                             f"{label_of(policy.server_uri)}")
        return numbers

    def find_policy(self, policy):
        cdef PolicyState state
        if self.policy_numbers is None:
            self.policy_numbers = {
                (<PolicyState>known).policy: number
                for number, known in enumerate(self.policies) if known is not None
            }
        number = self.policy_numbers.get(policy)
        if number is not None and number < len(self.policies):
            state = self.policies[number]
            if state is not None and state.policy == policy:
                return number
        return self.add_policy(policy)

    def hold_policy(self, number):
        (<PolicyState>self.policies[number]).users += 1

    def release_policy(self, number):
        self.drop_policy(number)

    cdef int drop_policy(self, uint32_t number) except -1:
        cdef PolicyState state = <PolicyState>self.policies[number]
        Exchange.drop_policy(self, number)
        if self.policies[number] is None and self.policy_numbers is not None:
            self.policy_numbers.pop(state.policy, None)
        return 0

    cdef Target _target_for(self, object policy, tuple numbers):
        destination = destination_of(
            policy, frozenset([self.transports[number][0].protocol for number in numbers]))
        is_strict = policy.dns == "rfc3263"
        key = (*destination, numbers, is_strict, policy.failover)
        cdef Target target = self.target_by_key.get(key)
        if target is None:
            target = Target(
                len(self.target_list), label_of(policy.server_uri), destination, numbers,
                is_strict, policy.failover == "fast")
            self.target_list.append(target)
            self.target_by_key[key] = target
            self.gates.resize(<uint32_t>len(self.target_list))
            self.want_addresses(target, 0)
        if policy.max_rate > 0 and (target.max_rate <= 0 or policy.max_rate < target.max_rate):
            target.max_rate = policy.max_rate
        elif target.max_rate < 0:
            target.max_rate = 0
        bucket_set_rate(&target.bucket, target.max_rate)
        if policy.max_outstanding and (target.max_outstanding == 0
                                       or policy.max_outstanding < target.max_outstanding):
            target.max_outstanding = target.window.limit = policy.max_outstanding
        return target

    def recount_rates(self):
        cdef PolicyState state
        cdef Target target
        rates, limits = {}, {}
        for state in self.policies:
            if state is not None and state.users:
                for lowest, value in ((rates, state.policy.max_rate),
                                      (limits, state.policy.max_outstanding)):
                    if value > 0:
                        lowest[state.target] = min(lowest.get(state.target, value), value)
        for target in self.target_list:
            target.max_rate = rates.get(target, 0.0)
            target.max_outstanding = limits.get(target, 0)

    def set_departure_rate(self, target, rate):
        cdef Target paced = <Target>self.target_list[target]
        bucket_set_rate(&paced.departure_bucket, rate)
        paced.departure_bucket.theoretical_ns = 0

    # ------------------------------------------------------------------ gauges

    cdef int _count_in(self, uint32_t slot) except -1:
        """A record has come to its target's and its group's rows, in the state that it has."""
        cdef Record* record = &self.records[slot]
        cdef PolicyState policy = <PolicyState>self.policies[record.policy]
        cdef Target target = policy.target
        target.registrations += 1
        target.states[record.state] += 1
        self.cells.rows[target.row].states[record.state] += 1
        self.cells.groups[policy.group_row][record.state] += 1
        return 0

    cdef int _count_out(self, uint32_t slot) except -1:
        cdef Record* record = &self.records[slot]
        cdef PolicyState policy = <PolicyState>self.policies[record.policy]
        cdef Target target = policy.target
        target.registrations -= record.flags & LEAVING == 0
        target.states[record.state] -= 1
        self.cells.rows[target.row].states[record.state] -= 1
        self.cells.groups[policy.group_row][record.state] -= 1
        return 0

    # ------------------------------------------------------------------ wishes

    def change(self, kind, registration, now_ns):
        cdef int64_t slot = self.find(registration.name)
        if slot < 0:
            return False
        self._change(<uint32_t>slot, kind, registration, now_ns)
        return True

    def remove(self, name, now_ns):
        cdef int64_t slot = self.find_staying(name)
        if slot < 0:
            return False
        self._leave(<uint32_t>slot, now_ns)
        return True

    def refresh(self, name, now_ns, fresh=False):
        cdef int64_t slot = self.find_staying(name)
        cdef Record* record
        if slot < 0 or self.stopping:
            return False
        record = &self.records[slot]
        if record.flags & HELD:
            record.flags &= ~HELD
            self.keep(<uint32_t>slot, now_ns)
        if self._is_busy(<uint32_t>slot):
            if fresh:
                self._put_off(<uint32_t>slot, None, None)
            elif record.state != S_REGISTERED and not record.flags & MOVING:
                self.pending.setdefault(slot, None)
                record.flags |= PENDING
            return True
        record.retries = 0
        if fresh and self.is_bound(record, now_ns):
            record.flags |= MOVING
            self._go(<uint32_t>slot, now_ns)
        else:
            self._now(<uint32_t>slot, now_ns)
        return True

    def unregister(self, name, now_ns):
        cdef int64_t slot = self.find_staying(name)
        cdef Record* record
        if slot < 0:
            return False
        record = &self.records[slot]
        record.flags |= HELD
        self.keep(<uint32_t>slot, max(self.wheel.due_ns(<uint32_t>slot), <int64_t>0))
        self._go(<uint32_t>slot, now_ns)
        return True

    cdef bint _is_busy(self, uint32_t slot) noexcept nogil:
        """A transaction runs, or is to be sent at once."""
        return self.records[slot].transaction in (TX_TRYING, TX_PROCEEDING)

    cdef int _now(self, uint32_t slot, int64_t now_ns) except -1:
        """Its next attempt is due at once; the target's rate says when it starts."""
        cdef Record* record = &self.records[slot]
        if record.flags & BEGUN == 0:
            return 0                     # begin() plans it
        self.wheel.cancel(slot)
        record.intended_ns = now_ns
        return self.enqueue(slot, record, (<PolicyState>self.policies[record.policy]).target)

    cdef int _go(self, uint32_t slot, int64_t now_ns) except -1:
        """No binding is wanted any more: whatever stands is removed, now or when it is free."""
        cdef Record* record = &self.records[slot]
        if self._is_busy(slot):
            return 0                     # the end of the transaction asks again
        return self.settle(slot, record, (<PolicyState>self.policies[record.policy]).target,
                           now_ns)

    cdef int _put_off(self, uint32_t slot, object kind, object registration) except -1:
        """Keeps a change until the record is free for it; the last one counts, the most of both
        is done. (None, None): un-REGISTER, then anew."""
        cdef Record* record = &self.records[slot]
        former = self.pending.get(slot)
        if former is not None:
            former_kind, former_registration = former
            kind = "contact" if None in (kind, former_kind) else graver_of(kind, former_kind)
            if registration is None:
                registration = former_registration
        if isinstance(registration, model.Registration):
            self.hold_policy(registration.policy)
        self._forget_wish(slot)
        self.pending[slot] = (kind, registration)
        record.flags |= PENDING
        return 0

    cdef int _forget_wish(self, uint32_t slot) except -1:
        """What was put off will not be, or has been done."""
        wish = self.pending.pop(slot, None)
        if wish is not None and isinstance(wish[1], model.Registration):
            self.drop_policy(wish[1].policy)
        return 0

    cdef void _disown_entry(self, uint32_t slot) noexcept nogil:
        """A next life must not take up a binding that is being removed; its CSeq stays known."""
        if slot < self.entry_count:
            entry_open(&self.entries[slot], self.records[slot].call_id)

    # ------------------------------------------------------------------ what they lead to

    cdef int _change(self, uint32_t slot, object kind, object registration,
                     int64_t now_ns) except -1:
        cdef Record* record = &self.records[slot]
        if kind == "replaced":
            return self._replace(slot, registration, now_ns)
        if record.flags & LEAVING:
            # removed and wanted again before its binding was gone
            record.flags = (record.flags & ~LEAVING) | MOVING
            self.held += 1
            (<PolicyState>self.policies[record.policy]).target.registrations += 1
            self._put_off(slot, "contact", registration)
            return 0 if record.flags & IN_QUEUE else self._go(slot, now_ns)
        if self._is_busy(slot) or record.flags & MOVING:
            return self._put_off(slot, kind, registration)
        if kind == "contact" and self.is_bound(record, now_ns):
            self._put_off(slot, kind, registration)
            if not record.flags & HELD:
                record.flags |= MOVING
            return self._go(slot, now_ns)
        return self._take_over(slot, kind, registration, now_ns)

    cdef int _take_over(self, uint32_t slot, object kind, object registration,
                        int64_t now_ns) except -1:
        """The record becomes what the configuration says; what follows from that is planned."""
        cdef Record* record = &self.records[slot]
        cdef bint was_waiting = record.state == S_WAITING
        cdef bint new_secret
        cdef uint64_t place
        if isinstance(registration, bytes):      # only its Contact was another one for a while
            self.reword(record, registration)
            return 0
        new_secret = not self.same_auths(record, registration.auths)
        place = (<PolicyState>self.policies[record.policy]).mark
        self._count_out(slot)
        try:
            self.assign(record, registration)
        finally:
            self._count_in(slot)
        if (<Face>self.faces[record.face]).number not in (
                <PolicyState>self.policies[record.policy]).target.transports:
            record.face = (<PolicyState>self.policies[record.policy]).face
        if place != (<PolicyState>self.policies[record.policy]).mark:
            nonces_free(&record.nonce)           # another registrar's
            record.bound_place = 0
        if kind != "policy":
            self.forget_refusal(record)
            record.requested_s = (<PolicyState>self.policies[record.policy]).rules.expiration_s
        if record.flags & GOING or self.stopping:
            return self.keep(slot, 0)
        if record.state == S_REJECTED or (was_waiting and (kind != "policy" or new_secret)):
            record.retries = 0
            self.keep(slot, now_ns)
            return self._now(slot, now_ns)
        if record.state == S_REGISTERED and kind != "policy":
            return self._now(slot, now_ns)
        if record.state == S_REGISTERED or was_waiting:
            return self.keep(slot, self.wheel.due_ns(slot))
        return 0

    cdef int _leave(self, uint32_t slot, int64_t now_ns) except -1:
        """It is no longer one of ours; what is left is to remove its binding."""
        cdef Record* record = &self.records[slot]
        if not record.flags & LEAVING:
            self.held -= 1
            (<PolicyState>self.policies[record.policy]).target.registrations -= 1
        record.flags = (record.flags | LEAVING) & ~(PENDING | MOVING | HELD)
        self._forget_wish(slot)
        self._disown_entry(slot)
        return self._go(slot, now_ns)

    cdef int _replace(self, uint32_t slot, object registration, int64_t now_ns) except -1:
        """Another AOR, or another registrar: who was there un-REGISTERs under its old terms, and
        a new record starts at the same time. CSeq goes on, so that neither overtakes the other."""
        cdef Record* record = &self.records[slot]
        cdef uint32_t cseq = record.cseq + CSEQ_STEP
        cdef bint was_held = record.flags & HELD != 0
        cdef int64_t added
        self.unindex(slot)
        self.line_remove(slot)           # its line is its successor's, like its name
        record.flags |= GHOST
        added = self._admit(registration, cseq)      # the name has just become free
        self.wheel.resize(self.capacity)
        self._leave(slot, now_ns)
        record = &self.records[added]
        record.flags |= BEGUN
        record.kind = K_INITIAL
        if was_held:
            record.flags |= HELD
            return self.keep(<uint32_t>added, 0)
        return self._now(<uint32_t>added, now_ns)

    cdef int64_t _admit(self, object registration, uint32_t cseq) except -2:
        """A new record with all that is counted: its slot; -1: the name is there. Its timer has a
        place once the wheel has the population's size."""
        cdef int64_t slot
        cdef Record* record
        slot = self.add(registration)
        if slot < 0:
            return -1
        record = &self.records[slot]
        record.cseq = cseq
        record.face = (<PolicyState>self.policies[record.policy]).face
        record.requested_s = (<PolicyState>self.policies[record.policy]).rules.expiration_s
        self._count_in(<uint32_t>slot)
        return slot

    cdef int resume(self, uint32_t slot, int64_t now_ns) except -1:
        """Its transaction has ended, or its old binding is gone."""
        cdef Record* record = &self.records[slot]
        cdef bint moved = record.flags & MOVING != 0
        if record.flags & LEAVING or self._is_busy(slot):
            return 0
        wish = self.pending.get(slot)
        record.flags &= ~(PENDING | MOVING)
        if self.stopping:
            return self._forget_wish(slot)
        if moved:
            record.flags &= ~EVER
            record.retries = 0
        if wish is not None:
            kind, registration = wish
            if kind is None or kind == "contact":
                if not moved and self.is_bound(record, now_ns) and not record.flags & HELD:
                    record.flags |= MOVING | PENDING
                    return self._go(slot, now_ns)
            if registration is not None:
                self._take_over(slot, kind, registration, now_ns)
                record = &self.records[slot]
        self._forget_wish(slot)
        if record.flags & HELD:
            return 0
        if moved or record.state == S_UNREGISTERED or (
                (wish is None or wish[0] is None) and record.state != S_REGISTERED):
            return self._now(slot, now_ns)
        return 0

    cdef int retire(self, uint32_t slot) except -1:
        """The slot of a registration that left becomes free, once nothing points to it."""
        cdef Record* record = &self.records[slot]
        if record.flags & (IN_QUEUE | IN_SEND) or self._is_busy(slot) or (
                record.state != S_UNREGISTERED):
            return 0
        self.wheel.cancel(slot)
        self._forget_wish(slot)
        self._count_out(slot)
        if slot < self.entry_count:
            memset(&self.entries[slot], 0, sizeof(self.entries[0]))
        self.free_slot(slot)
        return 0
