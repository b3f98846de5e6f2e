"""The life of an attempt: started, sent, answered or not, judged, planned anew.

The order of the questions asked about a final response is Asterisk's, with what was decided
differently: credentials first, then another address, then what the code means (`policy.decide`).
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdlib cimport free

from regiment.metrics.scoreboard cimport record_ns
from regiment.timing.pacer cimport grid_ns
from regiment.uac.affinity cimport take_affinity
from regiment.uac.challenge cimport (
    ANSWERED, STALE_ANSWERED, take_authentication_info, take_challenges,
)
from regiment.uac.congestion cimport (
    E_ANSWERED, E_REFUSED, E_TIMED_OUT, window_enter, window_leave, window_open, window_refused,
)
from regiment.uac.credentials cimport Nonce, nonces_free
from regiment.uac.grant cimport granted_s
from regiment.uac.health cimport is_given_up
from regiment.uac.ledger cimport entry_pulse
from regiment.uac.pace cimport pace_refused, pace_served
from regiment.uac.policy cimport (
    C_RESPONSE, C_TIMEOUT, C_TRANSPORT, C_UNREADABLE, K_INITIAL, K_REFRESH,
    K_RETRY, K_UNREGISTER, MIN_EXPIRES_FALLBACK_S, O_SUCCESS, RETRY_AFTER_CAP_S, ROUNDS_MAX,
    S_REGISTERED, S_UNREGISTERED, S_UNREGISTERING, Verdict, decide, probe_wait_s, refresh_window_ns,
)
from regiment.uac.registration cimport (
    CACHED, CONTACT_BYTES_MAX, CUT, EVER, FALLBACK_423, GOING, ICMP_ONCE, IN_QUEUE, IN_SEND,
    LEARNED, LEAVING, MOVING, OUTSTANDING, OVERDUE, PENDING, REPEATED, R_POSTPONE, R_REJECT,
    R_RELEASE, R_START, R_SUCCESS, R_UNREGISTER, R_WAIT, SENT, SETTLED, registration_advance,
    Face,
)
from regiment.uac.reflection cimport seen_from
from regiment.uac.security cimport forget_security_server, take_security_server
from regiment.uac.transaction cimport (
    T2_MS, TX_PROCEEDING, TX_REQUEST, TX_TIMER_E, TX_TIMER_F, TX_TRANSPORT_ERROR, TX_TRYING,
    next_timer_e_ms,
    transaction_advance,
)

cdef int64_t NS_PER_S = 1_000_000_000
cdef int64_t NS_PER_MS = 1_000_000

cdef enum:
    FACES_MOST = 4096          # so many are learned at most


cdef int ending_of(const Result* result) noexcept nogil:
    """What the governor learns from a failure: a registrar that says no is well."""
    if result.cause == C_TIMEOUT or (result.cause == C_RESPONSE and result.code == 408):
        return E_TIMED_OUT
    if result.cause == C_UNREADABLE or (result.cause == C_RESPONSE and result.code != 503):
        return E_ANSWERED
    return E_REFUSED


cdef class Attempts(Outbound):
    """Records, timers and queues, and what moves a registration from one state to the next."""

    cdef int set_state(self, Record* record, Target target, int event) except -1:
        cdef int old = record.state
        cdef int new = registration_advance(old, event)
        cdef uint64_t* group
        if new == old:
            return 0
        group = self.cells.groups[(<PolicyState>self.policies[record.policy]).group_row]
        record.state = <unsigned char>new
        target.states[old] -= 1
        target.states[new] += 1
        self.cells.rows[target.row].states[old] -= 1
        self.cells.rows[target.row].states[new] += 1
        group[old] -= 1
        group[new] += 1
        self.cells.transitions[old][new] += 1
        return 0

    cdef bint is_going(self, const Record* record) noexcept nogil:
        """No binding is wanted (any more, or at present)."""
        return self.stopping or record.flags & GOING != 0

    cdef void plan(self, uint32_t slot, Record* record, int64_t due_ns) noexcept nogil:
        record.intended_ns = due_ns
        self.wheel.arm(slot, due_ns)

    cdef int enqueue(self, uint32_t slot, Record* record, Target target) except -1:
        """It is due: from here on its target's governor answers for it."""
        if record.flags & IN_QUEUE:
            return 0
        record.flags |= IN_QUEUE
        if self.is_going(record):
            target.departures.push(slot, 0)
        else:
            target.queue.push(slot, record.expires_ns if record.state == S_REGISTERED else 0)
        self.cells.gated[0] += 1
        self.make_ready(target)
        return 0

    cdef void leave_queue(self, Record* record) noexcept:
        """It was taken from the queue that it stood in."""
        record.flags &= ~IN_QUEUE
        self.cells.gated[0] -= 1

    # ------------------------------------------------------------------ start

    cdef int start(self, uint32_t slot, Target target, int place, int64_t now_ns) except -1:
        """The governor lets it go, to that address."""
        cdef Record* record = &self.records[slot]
        cdef PolicyState policy = <PolicyState>self.policies[record.policy]
        record.flags &= ~(REPEATED | FALLBACK_423)
        self.note_lapse(record, target, now_ns)
        if self.is_going(record):
            if not self.is_bound(record, now_ns) or target.address_count == 0:
                return self.settle(slot, record, target, now_ns)
            record.kind = K_UNREGISTER
            self.set_state(record, target, R_UNREGISTER)
            self.keep(slot, 0)            # the answer may come when nobody is there to see it
        else:
            if record.state == S_REGISTERED:
                record.kind = K_REFRESH
            elif record.state == S_UNREGISTERED and not record.flags & EVER:
                record.kind = K_INITIAL
            else:
                record.kind = K_RETRY
            self.set_state(record, target, R_START)
            record.flags |= OUTSTANDING
            window_enter(&target.window)
            if target.least_expires_s(now_ns) > record.requested_s:
                record.requested_s = target.min_expires_s
                self.cells.min_expires_learned[0] += 1
        self.take_form(record, now_ns)
        self.aim(record, target, place)
        record.rounds = record.raises = 0
        record.started_ns = 0
        if record.nonce != NULL and not (
                policy.rules.nonce_reuse and target.reuse_allowed(now_ns)):
            nonces_free(&record.nonce)
        return self.request(slot, record, target, True, False, now_ns)

    cdef int request(self, uint32_t slot, Record* record, Target target, bint new_tag,
                     bint is_answer, int64_t now_ns) except -1:
        """A new transaction: CSeq + 1, a branch of its own; sent as soon as it may be."""
        cdef Nonce* nonce = record.nonce
        cdef int actions = 0
        record.cseq += 1
        if record.cseq > self.cells.cseq_high[0]:
            self.cells.cseq_high[0] = record.cseq
            if self.head != NULL:
                self.head.cseq_high = record.cseq
        record.generation += 1
        record.salt = self.secret_word()
        if new_tag:
            record.from_tag = self.secret_word()
        record.transaction = <unsigned char>transaction_advance(
            record.transaction, TX_REQUEST, self.is_stream(record), &actions)
        record.flags &= ~(SENT | CACHED | ICMP_ONCE)
        while nonce != NULL:
            nonce.used = True
            nonce.nc += 1
            if not nonce.fresh:
                record.flags |= CACHED
            nonce = nonce.next
        nonce = record.nonce
        if nonce != NULL:
            record.last_mark, record.last_nc = nonce.mark, nonce.nc
        if slot < self.entry_count:
            entry_pulse(&self.entries[slot], record.call_id, record.cseq, record.last_nc,
                        record.last_mark)
        self.wheel.cancel(slot)
        return self.dispatch(slot, record, target, is_answer, now_ns)

    cdef int conclude(self, Record* record, PolicyState policy, int ending, int64_t ended_ns,
                      int64_t now_ns) except -1:
        """An attempt has ended; an un-REGISTER teaches the governor nothing."""
        cdef Target target = policy.target
        cdef bint was_full
        if not record.flags & OUTSTANDING:
            return 0
        was_full = target.queue.count and not window_open(&target.window)
        if record.flags & OVERDUE:
            target.window.overdue -= 1
        record.flags &= ~(OUTSTANDING | OVERDUE)
        if ending == E_ANSWERED:
            pace_served(&target.pace, now_ns)
        window_leave(&target.window, ending, ended_ns - record.started_ns,
                     policy.rules.timer_t1_ms * NS_PER_MS * (record.rounds + 1), now_ns)
        if was_full:
            self.make_ready(target)
        return 0

    cdef int note_overdue(self, Record* record, Target target) except -1:
        """It may be a black hole: it is not to stand in the way of the others."""
        record.flags |= OVERDUE
        target.window.overdue += 1
        return self.make_ready(target) if target.queue.count else 0

    cdef int learn_refusal(self, const Record* record, Target target, int64_t now_ns) except -1:
        """A 503, and no other address is left: the target as a whole was asked for too much."""
        cdef int64_t opens_ns = now_ns
        if not record.flags & OUTSTANDING:
            return 0
        if target.choose_any(now_ns) < 0:
            opens_ns = max(target.opens_ns, now_ns)
        if pace_refused(&target.pace, record.started_ns, opens_ns, now_ns):
            window_refused(&target.window, now_ns)
            self.cells.governor_refusals[0] += 1
        return 0

    # ------------------------------------------------------------------ time

    cdef int on_timer(self, uint32_t slot, int64_t now_ns) except -1:
        """Timer E or F while a transaction runs; else the next attempt is due."""
        cdef Record* record = &self.records[slot]
        cdef PolicyState policy = <PolicyState>self.policies[record.policy]
        cdef int actions = 0
        if record.transaction != TX_TRYING and record.transaction != TX_PROCEEDING:
            return self.enqueue(slot, record, policy.target)
        if now_ns >= record.give_up_ns:
            record.transaction = <unsigned char>transaction_advance(
                record.transaction, TX_TIMER_F, False, &actions)
            self.give_up_flow(record, policy.target)
            return self.on_error(slot, 408, C_TIMEOUT, "no answer", now_ns)
        if is_given_up(&policy.target.addresses[record.address], now_ns) and (
                self.move_on(slot, now_ns)):
            return 0
        record.transaction = <unsigned char>transaction_advance(
            record.transaction, TX_TIMER_E, False, &actions)
        record.timer_e_ms = next_timer_e_ms(record.transaction, record.timer_e_ms)
        self.wheel.arm(slot, min(now_ns + record.timer_e_ms * NS_PER_MS, record.give_up_ns))
        if record.timer_e_ms >= T2_MS and record.flags & (OUTSTANDING | OVERDUE) == OUTSTANDING:
            self.note_overdue(record, policy.target)
        if record.flags & IN_SEND == 0:
            self.cells.retransmissions[0] += 1
            self.push_send(slot, record)
        return 0

    cdef int on_error(self, uint32_t slot, int code, int cause, str reason,
                      int64_t now_ns) except -1:
        """The transaction ended without a response (RFC 3261 8.1.3.1)."""
        cdef Record* record = &self.records[slot]
        cdef PolicyState policy = <PolicyState>self.policies[record.policy]
        cdef Result result
        cdef bytes said
        result.code = <uint16_t>code
        result.cause = <unsigned char>cause
        result.retry_after_s = -1
        record.answered_ns = now_ns
        self.vacate(record, policy.target, now_ns)
        if self.next_address(slot, record, policy.target, now_ns):
            return 0
        said = reason.encode("utf-8", "replace")
        self.note_reason(record, said, <uint32_t>PyBytes_GET_SIZE(said))
        return self.fail(slot, record, policy, &result, now_ns)

    cdef bint next_address(self, uint32_t slot, Record* record, Target target,
                           int64_t now_ns) except -1:
        """408 and 503 go on to the next address inside the attempt, uncounted."""
        cdef int address = target.next_free(record.address, now_ns)
        if address < 0:
            self.want_addresses(target, now_ns)
            return False
        self.aim(record, target, address)
        nonces_free(&record.nonce)
        forget_security_server(&record.annexes)      # it was agreed with the other one
        self.request(slot, record, target, False, False, now_ns)
        return True

    cdef bint move_on(self, uint32_t slot, int64_t now_ns) except -1:
        cdef Record* record = &self.records[slot]
        cdef Target target = (<PolicyState>self.policies[record.policy]).target
        if target.next_free(record.address, now_ns) < 0:
            return False
        self.end_transaction(slot, record, target, now_ns)
        return self.next_address(slot, record, target, now_ns)

    cdef int postpone(self, uint32_t slot, int64_t now_ns) except -1:
        cdef Record* record = &self.records[slot]
        cdef Target target = (<PolicyState>self.policies[record.policy]).target
        self.end_transaction(slot, record, target, now_ns)
        self.conclude(record, <PolicyState>self.policies[record.policy], E_REFUSED, now_ns, now_ns)
        if record.kind != K_UNREGISTER or not self.is_going(record):
            self.set_state(record, target, R_POSTPONE)
            if record.failure_class and record.state == S_UNREGISTERED:
                self.set_state(record, target, R_WAIT)
        return self.enqueue(slot, record, target)

    cdef int on_flow_error(self, uint32_t slot, str reason, int64_t now_ns) except -1:
        cdef Record* record = &self.records[slot]
        self.end_transaction(slot, record, (<PolicyState>self.policies[record.policy]).target,
                             now_ns)
        return self.on_error(slot, 503, C_TRANSPORT, reason, now_ns)

    cdef int recall(self, uint32_t slot, int64_t now_ns) except -1:
        cdef Record* record = &self.records[slot]
        self.wheel.cancel(slot)
        record.intended_ns = now_ns
        return self.enqueue(slot, record, (<PolicyState>self.policies[record.policy]).target)

    cdef int end_transaction(self, uint32_t slot, Record* record, Target target,
                             int64_t now_ns) except -1:
        """It ends without an answer, before its Timer F."""
        cdef int actions = 0
        record.transaction = <unsigned char>transaction_advance(
            record.transaction, TX_TRANSPORT_ERROR, self.is_stream(record), &actions)
        record.answered_ns = now_ns
        self.wheel.cancel(slot)
        return self.vacate(record, target, now_ns)

    # ------------------------------------------------------------------ responses

    cdef int on_final(self, uint32_t slot, const char* data, const Message* message,
                      int64_t received_ns, int64_t now_ns) except -1:
        cdef Record* record = &self.records[slot]
        cdef PolicyState policy = <PolicyState>self.policies[record.policy]
        cdef Target target = policy.target
        cdef Result result
        cdef int code = message.status
        result.code = <uint16_t>code
        result.cause = C_RESPONSE
        result.retry_after_s = message.retry_after
        if code < 300:
            return self.succeed(slot, record, policy, data, message, received_ns, now_ns)
        if record.flags & LEAVING and record.kind != K_UNREGISTER:
            # its attempt is of no use any more, and its successor's CSeq is ahead already
            self.conclude(record, policy, E_ANSWERED, received_ns, now_ns)
            self.set_state(record, target, R_WAIT)
            return self.settle(slot, record, target, now_ns)
        if code == 503 and message.retry_after > 0:
            target.addresses[record.address].gated_until_ns = now_ns + NS_PER_S * min(
                message.retry_after, <int64_t>RETRY_AFTER_CAP_S)
        if policy.mediasec and (code == 401 or code == 407 or code == 494):
            take_security_server(&record.annexes, data, message)
        if code == 401 or code == 407:
            if self.answer(slot, record, target, data, message, now_ns):
                return 0
        elif code == 423:
            if self.raise_expires(slot, record, target, message, now_ns):
                return 0
        elif code == 439:
            if self.fall_back(record, policy, now_ns):
                nonces_free(&record.nonce)
                return self.request(slot, record, target, False, True, now_ns)
        elif code == 408 or code == 503:
            if self.next_address(slot, record, target, now_ns):
                return 0
            if code == 503:
                self.learn_refusal(record, target, now_ns)
        if self.is_refused_nonce(record, message):
            record.flags |= REPEATED
            self.count_refusal(target, now_ns)
            nonces_free(&record.nonce)
            return self.request(slot, record, target, False, True, now_ns)
        self.note_reason(record, data + message.reason.start, message.reason.length)
        return self.fail(slot, record, policy, &result, now_ns)

    cdef bint answer(self, uint32_t slot, Record* record, Target target, const char* data,
                     const Message* message, int64_t now_ns) except -1:
        cdef bint cached_refused = False
        cdef int verdict = take_challenges(self, record, data, message, &cached_refused)
        self.cells.challenges[verdict] += 1
        if record.flags & CACHED:
            if cached_refused:
                self.count_refusal(target, now_ns)
            elif verdict == STALE_ANSWERED:
                self.cells.reuse_challenged[0] += 1
        if verdict != ANSWERED and verdict != STALE_ANSWERED:
            return False
        record.rounds += 1
        self.request(slot, record, target, False, True, now_ns)
        return True

    cdef bint is_refused_nonce(self, const Record* record, const Message* message) noexcept nogil:
        """A 4xx that may be due to a cached nonce: worth one more request without it."""
        cdef int code = message.status
        if code == 401 or code == 407 or code == 423 or code == 494 or not 400 <= code < 500:
            return False
        return message.retry_after <= 0 and record.flags & CACHED and not record.flags & REPEATED

    cdef int count_refusal(self, Target target, int64_t now_ns) except -1:
        self.cells.reuse_refused[0] += 1
        if target.reuse_refused(now_ns):
            self.cells.reuse_disabled[0] += 1
        return 0

    cdef bint raise_expires(self, uint32_t slot, Record* record, Target target,
                            const Message* message, int64_t now_ns) except -1:
        """423 (RFC 3261 10.2.8): ask for Min-Expires at once, without credentials."""
        cdef int64_t wanted = message.min_expires
        if record.kind == K_UNREGISTER or record.raises >= ROUNDS_MAX:
            return False
        if wanted < 0:
            if record.flags & FALLBACK_423:
                return False
            record.flags |= FALLBACK_423
            wanted = MIN_EXPIRES_FALLBACK_S
        if wanted <= record.requested_s:
            return False
        record.requested_s = <uint32_t>wanted
        if message.min_expires > 0:
            target.learn_min_expires(wanted, now_ns)
        record.raises += 1
        nonces_free(&record.nonce)
        self.request(slot, record, target, True, True, now_ns)
        return True

    cdef bint again_after_494(self, const Record* record, PolicyState policy) noexcept:
        """494: a new REGISTER at once, unless fresh credentials were in this one; counted, so that
        it ends with max_retries."""
        cdef const Nonce* nonce = record.nonce
        while nonce != NULL:
            if nonce.fresh and nonce.used:
                return False
            nonce = nonce.next
        return record.retries < policy.rules.max_retries

    # ------------------------------------------------------------------ results

    cdef int succeed(self, uint32_t slot, Record* record, PolicyState policy, const char* data,
                     const Message* message, int64_t received_ns, int64_t now_ns) except -1:
        cdef Target target = policy.target
        cdef char contact[CONTACT_BYTES_MAX]
        cdef Result result
        cdef Nonce* nonce
        cdef int64_t granted
        cdef int length
        if record.flags & CACHED:
            self.cells.reuse_accepted[0] += 1
            target.refusals = 0
        if record.kind == K_UNREGISTER:
            return self.unregistered(slot, record, target, O_SUCCESS, now_ns)
        length = self.contact_of(record, policy, contact)
        granted = granted_s(data, message, contact, <uint32_t>max(length, 0), record.line,
                            7 if policy.line else 0, record.requested_s)
        if policy.forms_flows:
            granted = self.take_grant(record, data, message, granted)
        if granted <= 0:
            result.code, result.cause, result.retry_after_s = message.status, C_UNREADABLE, -1
            self.note_reason(record, data + message.reason.start, message.reason.length)
            return self.fail(slot, record, policy, &result, now_ns)
        self.note_lapse(record, target, now_ns)
        nonce = record.nonce
        while nonce != NULL:
            nonce.fresh = False
            nonce = nonce.next
        take_authentication_info(record, data, message)
        take_affinity(&record.annexes, data, message)
        record.bound_place = record.address + 1
        record.granted_s = <uint32_t>granted
        record.expires_ns = received_ns + granted * NS_PER_S
        if policy.is_learning:
            self.learn(record, target, data, message)
        self.registered(slot, record, policy, message.status, received_ns, now_ns)
        return 0

    cdef int learn(self, Record* record, Target target, const char* data,
                   const Message* message) except -1:
        """The Contact becomes what the registrar sees (`@rport_contact`): once it differs, the
        binding goes, and is made anew. A connection is its own way back."""
        cdef Face face = <Face>self.faces[target.addresses[record.address].face]
        cdef int seen_as
        if face.is_stream or record.contact_length or record.flags & LEARNED or (
                len(self.faces) > FACES_MOST):
            return 0
        seen = seen_from(data, message)
        if seen is None:
            return 0
        seen_as = self.face_number(face.number, face.transport, face.socket, seen[0], seen[1])
        if seen_as != record.face:
            target.addresses[record.address].seen_as = <uint16_t>(seen_as + 1)
            self.any_learned = True
            record.flags |= MOVING | LEARNED
        return 0

    cdef int registered(self, uint32_t slot, Record* record, PolicyState policy, int code,
                        int64_t received_ns, int64_t now_ns) except -1:
        cdef Target target = policy.target
        cdef int64_t earliest = 0, latest = 0, due_ns
        cdef bint recovered = record.failure_class != 0
        cdef int old = record.state
        self.conclude(record, policy, E_ANSWERED, received_ns, now_ns)
        self.cells.rows[target.row].attempts[record.kind][<int>O_SUCCESS] += 1
        record_ns(self.cells.duration[record.kind], received_ns - record.started_ns)
        record_ns(self.cells.response[record.kind], received_ns - record.intended_ns)
        record.retries = 0
        record.code = <uint16_t>code
        record.failure_class = 0
        record.failing_ns = 0
        record.flags = (record.flags | EVER) & ~CUT
        if record.kind == K_REFRESH and not record.flags & MOVING:
            record.flags &= ~LEARNED
        if record.reason != NULL:
            free(record.reason)
            record.reason = NULL
        self.set_state(record, target, R_SUCCESS)
        if recovered:
            self.turned(record, old, now_ns)
        if self.is_going(record):
            self.keep(slot, 0)
            return self.enqueue(slot, record, target)
        refresh_window_ns(&policy.rules, record.granted_s, &earliest, &latest)
        due_ns = received_ns + earliest + <int64_t>(self.uniform() * (latest - earliest))
        due_ns -= due_ns % grid_ns(&self.grid, latest - earliest, now_ns)
        due_ns = max(due_ns, received_ns + earliest)
        self.plan(slot, record, due_ns)
        self.keep(slot, due_ns)
        if recovered or (self.watched and record.kind != K_REFRESH):
            self.note(record, target, old, -1.0, not recovered)
        return self.resume(slot, now_ns) if record.flags & PENDING else 0

    cdef int fail(self, uint32_t slot, Record* record, PolicyState policy, const Result* result,
                  int64_t now_ns) except -1:
        cdef Target target = policy.target
        cdef Verdict verdict
        cdef int64_t wait_ns
        cdef int old = record.state
        self.conclude(record, policy, ending_of(result), record.answered_ns, now_ns)
        decide(&policy.rules, record.retries, result, &verdict)
        if result.code == 494 and result.retry_after_s <= 0 and self.again_after_494(
                record, policy):
            verdict.waits, verdict.counted, verdict.wait_s = True, True, 0
            if record.code == 494:               # it says nothing else: no haste any more
                verdict.wait_s = max(policy.rules.retry_interval_s, <uint32_t>1)
        nonces_free(&record.nonce)
        record.flags &= ~CUT
        if record.kind == K_UNREGISTER:
            return self.unregistered(slot, record, target, verdict.outcome, now_ns)
        self.note_lapse(record, target, now_ns)
        self.cells.rows[target.row].attempts[record.kind][verdict.outcome] += 1
        record.code = result.code if result.cause in (C_RESPONSE, C_UNREADABLE) else 0
        record.failure_class = verdict.failure_class
        if record.failing_ns == 0:
            record.failing_ns = now_ns
        if verdict.counted:
            record.retries += 1
        if not verdict.waits:
            verdict.wait_s = probe_wait_s(&policy.rules, verdict.failure_class)
        wait_ns = verdict.wait_s * NS_PER_S
        wait_ns += <int64_t>(wait_ns * self.uniform() * policy.rules.retry_jitter / 100.0)
        if policy.forms_flows and verdict.waits:
            wait_ns = self.recovery_ns(record, result, wait_ns)
        self.set_state(record, target, R_WAIT if verdict.waits else R_REJECT)
        if old != record.state:
            self.turned(record, old, now_ns)
        if verdict.waits or verdict.wait_s:
            self.plan(slot, record, now_ns + wait_ns)
            self.keep(slot, now_ns + wait_ns)
            self.note(record, target, old, wait_ns / 1e9)
        else:
            self.wheel.cancel(slot)
            self.keep(slot, 0)
            self.note(record, target, old, -1.0)
        if self.is_going(record):
            return self.settle(slot, record, target, now_ns)
        return self.resume(slot, now_ns) if record.flags & PENDING else 0

    cdef int unregistered(self, uint32_t slot, Record* record, Target target, int outcome,
                          int64_t now_ns) except -1:
        self.cells.rows[target.row].attempts[<int>K_UNREGISTER][outcome] += 1
        record.expires_ns = 0
        record.granted_s = 0
        record.bound_place = 0
        self.forget_answers(record)
        return self.settle(slot, record, target, now_ns)

    cdef int settle(self, uint32_t slot, Record* record, Target target, int64_t now_ns) except -1:
        """Nothing more is done for it in this stop, unless a binding is still to be removed."""
        if self.is_bound(record, now_ns) and record.state != S_UNREGISTERING and (
                target.address_count):
            self.wheel.cancel(slot)
            return self.enqueue(slot, record, target)
        cdef int old = record.state
        self.wheel.cancel(slot)
        self.set_state(record, target, R_RELEASE)
        if self.stopping and not record.flags & SETTLED:
            record.flags |= SETTLED
            self.unsettled -= 1
        self.note_if_watched(record, target, old)
        if record.flags & LEAVING:
            return self.retire(slot)
        if old != record.state:
            self.turned(record, old, now_ns)
        self.keep(slot, 0)
        return self.resume(slot, now_ns) if record.flags & (PENDING | MOVING) else 0

    # ------------------------------------------------------------------ what others add

    cdef int keep(self, uint32_t slot, int64_t due_ns) except -1:
        """Writes down what has become of it, for a next life of the process."""
        return 0

    cdef int resume(self, uint32_t slot, int64_t now_ns) except -1:
        """No transaction runs any more: what was waiting for that is done."""
        return 0

    cdef int retire(self, uint32_t slot) except -1:
        """Nothing is bound any more for a registration that leaves: its slot becomes free."""
        return 0

    # ------------------------------------------------------------------ what is told

    cdef int note_lapse(self, Record* record, Target target, int64_t now_ns) except -1:
        """A binding whose time is over is counted once."""
        if record.expires_ns and record.expires_ns <= now_ns:
            record.expires_ns = 0
            self.cells.rows[target.row].expired[0] += 1
        return 0
