"""The user agent client's core: registrations kept alive, by the batch.

Five verbs, in batches, with integer monotonic nanoseconds: `receive`, `expire`, `launch`, `send`,
`deadline_ns`/`events`. No clock, no socket, no randomness of its own: a worker or a test drives it.
"""

from hashlib import blake2b

from libc.string cimport memset

from regiment.datagram cimport Batch
from regiment.metrics.scoreboard cimport Scoreboard
from regiment.timing.wheel cimport Wheel
from regiment.uac.passage cimport NOBODY
from regiment.uac.cells cimport ENDPOINT_ROWS, GROUP_ROWS, Cells
from regiment.uac.exchange cimport AHEAD
from regiment.uac.governor cimport (
    Bucket, Queue, bucket_ready_ns, bucket_set_rate, bucket_take,
)
from regiment.uac.congestion cimport window_open
from regiment.uac.inbound cimport Correspondence, Inbound
from regiment.uac.pace cimport pace_open, pace_ready_ns, pace_spend
from regiment.uac.policy cimport (
    C_NO_ADDRESS, C_WRONG_FAMILY, K_INITIAL, K_REFRESH, K_RETRY, S_REGISTERED, S_REJECTED,
    S_UNREGISTERED, Result,
)
from regiment.uac.registration cimport (
    BEGUN, HELD, IN_QUEUE, IN_SEND, LEAVING, SETTLED, UNUSED, Face, PolicyState, Record,
)
from regiment.uac.target cimport ADDRESSES_MAX
from regiment.uac.transaction cimport TX_PROCEEDING, TX_TRYING

from regiment.errors import LocalError
from regiment.uac.destination import TargetInfo

cdef int64_t NS_PER_S = 1_000_000_000

cdef enum:
    FIRED_MAX = 1024
    TRUSTED_SPARE = 256
    REPLIES_MAX = 256
    REPLIES_BYTES = 1 << 20


cdef class Engine(Inquiry):
    """The registrations of one worker. See engine.pyi for the face."""

    def __init__(self, Scoreboard scoreboard, *, seed, bytes instance_key, cseq_base):
        super().__init__(instance_key)
        self.cells = Cells(scoreboard)
        self.wheel = Wheel(0)
        self.gates = Wheel(0)
        self.random = seed & 0xFFFFFFFFFFFFFFFF
        keyed = blake2b(seed.to_bytes(16, "big"), key=instance_key, digest_size=16).digest()
        self.secret.k0 = int.from_bytes(keyed[:8], "big")
        self.secret.k1 = int.from_bytes(keyed[8:], "big")
        keyed = blake2b(b"secret mark", key=instance_key, digest_size=16).digest()
        self.keyring.mark_key.k0 = int.from_bytes(keyed[:8], "big")
        self.keyring.mark_key.k1 = int.from_bytes(keyed[8:], "big")
        self.cseq_base = cseq_base
        self.sending.first = self.sending.last = NOBODY
        self.sweeps = []
        self.target_list, self.ready, self.wanted, self.noted = [], [], [], []
        self.transports = []
        self.face_by_key = {}
        self.certificates = {}
        self.flows, self.dialed, self.left, self.losses = {}, [], [], []
        self.timers = []
        self.target_by_key = {}
        self.target_at = {}
        self.peers_of = {}
        self.pending = {}
        self.inbound = Inbound(instance_key)
        self.correspondence = Correspondence()
        self.replies = Batch.outbox(REPLIES_MAX, REPLIES_BYTES)

    def __len__(self):
        return self.held

    # ------------------------------------------------------------------ loading

    def load(self, registrations):
        cdef int64_t slot
        # a name that comes back must not fall behind what its record had when it left
        cdef uint32_t base = max(self.cseq_base, <uint32_t>self.cells.cseq_high[0])
        self.reserve(<uint32_t>len(registrations))
        for registration in registrations:
            if self._admit(registration, base) >= 0:
                continue
            slot = self.find(registration.name)
            if not self.records[slot].flags & LEAVING:
                raise LocalError(f"[{registration.name}] was handed over twice")
            self._change(<uint32_t>slot, "contact", registration, 0)
        self.wheel.resize(self.capacity)

    def begin(self, now_ns):
        cdef int64_t now = now_ns
        cdef uint32_t slot
        cdef Record* record
        cdef PolicyState policy
        cdef double span_ns
        self.cells.cseq_high[0] = max(self.cells.cseq_high[0], self.cseq_base)
        for slot in range(self.count):
            record = &self.records[slot]
            if record.flags & (BEGUN | UNUSED):
                continue
            policy = <PolicyState>self.policies[record.policy]
            record.flags |= BEGUN
            record.kind = K_INITIAL
            span_ns = <double>policy.rules.max_random_initial_delay_s * NS_PER_S
            # 1 - u: zero is left out, the whole of the delay is in
            self.plan(slot, record, now + <int64_t>((1.0 - self.uniform()) * span_ns))

    def set_rate(self, target, rate):
        cdef Target paced = <Target>self.target_list[target]
        bucket_set_rate(&paced.bucket, rate)
        paced.bucket.theoretical_ns = 0
        if paced.queue.count:
            self.make_ready(paced)

    def set_outstanding(self, target, limit):
        cdef Target guarded = <Target>self.target_list[target]
        guarded.window.limit = limit
        if guarded.queue.count:
            self.make_ready(guarded)

    def set_row(self, target, row):
        cdef Target moved = <Target>self.target_list[target]
        cdef int state
        for state in range(7):
            self.cells.rows[moved.row].states[state] -= moved.states[state]
            self.cells.rows[row].states[state] += moved.states[state]
        moved.row = row

    def set_groups(self, rows):
        cdef uint32_t slot
        cdef PolicyState policy
        cdef Record* record
        cdef int row
        cdef bint any_group = False
        for policy in self.policies:
            if policy is not None and policy.policy.group:
                any_group = True
                row = rows.get(policy.policy.group, 0)
                if not 0 <= row < GROUP_ROWS:
                    raise LocalError(f"the scoreboard has no row {row} for a group")
                policy.group_row = row
        if not any_group:
            return
        for row in range(GROUP_ROWS):
            memset(self.cells.groups[row], 0, 7 * sizeof(unsigned long long))
        for slot in range(self.count):
            record = &self.records[slot]
            if record.flags & UNUSED:
                continue
            policy = <PolicyState>self.policies[record.policy]
            self.cells.groups[policy.group_row][record.state] += 1

    def set_endpoints(self, rows):
        for row in rows.values():
            if not 0 <= row < ENDPOINT_ROWS:
                raise LocalError(f"the scoreboard has no row {row} for an endpoint")
        self.endpoints.set_rows(rows)

    def set_addresses(self, target, places, now_ns, error=""):
        cdef Target resolved = <Target>self.target_list[target]
        peers = [place.peer for place in places]
        cdef uint32_t at
        resolved.resolving = False
        resolved.resolved_ns = now_ns
        if peers:
            if resolved.address_count == 0:
                resolved.trouble = ""
            faces = [self._face_at(place) for place in places]
            resolved.take(peers, faces, [(<Face>self.faces[face]).is_stream for face in faces],
                          now_ns)
            self._note_peers(resolved, peers[:ADDRESSES_MAX])
            for at in range(resolved.address_count):
                self.inbound.trust(&resolved.addresses[resolved.order[at]].peer)
            if resolved.queue.count or resolved.departures.count:
                self.make_ready(resolved)
        elif resolved.address_count == 0:
            resolved.trouble = error
            self._fail_queued(resolved, now_ns, error)

    cdef int _face_at(self, object place) except -1:
        transport, socket, _ = self.transports[place.transport]
        return self.face_number(place.transport, transport, socket, place.host, place.port)

    def _note_peers(self, Target target, peers):
        """Which target an address belongs to; of what a name no longer says nothing is kept."""
        for raw in self.peers_of.get(target.index, ()):
            if self.target_at.get(raw) is target and raw not in peers:
                del self.target_at[raw]
        self.peers_of[target.index] = peers
        for raw in peers:
            self.target_at[raw] = target
        if len(self.inbound.trusted) > 2 * len(self.target_at) + TRUSTED_SPARE:
            self.inbound.distrust_all_but(self.target_at)

    def _fail_queued(self, Target target, now_ns, error):
        """No address: whoever was due has failed, and waits its retry interval."""
        cdef int64_t slot
        cdef Record* record
        cdef Result result
        cdef bytes reason = error.encode("utf-8", "replace")
        result.code = 503
        result.cause = C_WRONG_FAMILY if target.is_literal else C_NO_ADDRESS
        result.retry_after_s = -1
        while True:
            slot = target.queue.pop()
            if slot < 0:
                slot = target.departures.pop()
            if slot < 0:
                return
            record = &self.records[slot]
            self.leave_queue(record)
            if (<PolicyState>self.policies[record.policy]).target is not target:
                self.enqueue(<uint32_t>slot, record,
                             (<PolicyState>self.policies[record.policy]).target)
                continue
            if self.is_going(record):
                self.settle(<uint32_t>slot, record, target, now_ns)
                continue
            record.kind = K_REFRESH if record.state == S_REGISTERED else (
                K_INITIAL if record.state == S_UNREGISTERED else K_RETRY)
            self.note_reason(record, reason, <uint32_t>len(reason))
            self.fail(<uint32_t>slot, record, <PolicyState>self.policies[record.policy], &result,
                      now_ns)

    # ------------------------------------------------------------------ the five verbs

    def expire(self, now_ns):
        cdef int64_t now = now_ns
        cdef uint32_t fired[FIRED_MAX]
        cdef uint32_t count, at
        while True:
            count = self.wheel.expire(now, fired, FIRED_MAX)
            for at in range(count):
                if at + AHEAD < count:
                    self._fetch(fired[at + AHEAD])
                self.on_timer(fired[at], now)
            if count < FIRED_MAX:
                return

    def launch(self, now_ns):
        cdef int64_t now = now_ns
        cdef uint32_t fired[FIRED_MAX]
        cdef uint32_t count, at
        while True:
            count = self.gates.expire(now, fired, FIRED_MAX)
            for at in range(count):
                self.look_after(<Target>self.target_list[fired[at]], now)
                self._drain(<Target>self.target_list[fired[at]], now)
            if count < FIRED_MAX:
                break
        if self.sweeps:
            self.sweep(now)
        if self.losses:
            self.tell_losses(now)
        if self.ready:
            for target in self.ready:
                (<Target>target).ready = False
                self._drain(<Target>target, now)
            self.ready.clear()

    cdef int _drain(self, Target target, int64_t now_ns) except -1:
        """Starts who may start; leaves the target's gate armed if somebody still waits."""
        cdef int64_t registering_ns, departing_ns
        if target.address_count == 0 and (target.queue.count or target.departures.count):
            if self.stopping:
                self._fail_queued(target, now_ns, "")
            else:
                self.want_addresses(target, now_ns)
            return 0
        departing_ns = self._let_go(target, target.departures, &target.departure_bucket, now_ns)
        registering_ns = self._let_go(target, target.queue, &target.bucket, now_ns)
        if departing_ns == 0 or 0 < registering_ns < departing_ns:
            departing_ns = registering_ns
        if departing_ns:
            self.arm_gate(target, departing_ns)
        return 0

    cdef int64_t _let_go(self, Target target, Queue queue, Bucket* bucket,
                         int64_t now_ns) except -1:
        """Starts those of one queue that its bucket allows; when the next may, 0: none waits."""
        cdef uint32_t slot
        cdef Record* record
        cdef Target its_target
        cdef int64_t wait_ns
        cdef int place
        while queue.count:
            slot = queue.items[0].slot
            record = &self.records[slot]
            its_target = (<PolicyState>self.policies[record.policy]).target
            if its_target is not target or (
                    self.is_going(record) != (queue is target.departures)):
                queue.pop()                      # what is wanted of it has changed meanwhile
                self.leave_queue(record)
                self.enqueue(slot, record, its_target)
                continue
            if queue is target.departures and not self.is_bound(record, now_ns):
                queue.pop()                      # no gate holds what has nothing to remove
                self.leave_queue(record)
                self.note_lapse(record, target, now_ns)
                self.settle(slot, record, target, now_ns)
                continue
            place = target.choose_any(now_ns) if queue is target.departures else (
                target.choose(now_ns))
            if place < 0:
                return target.opens_ns
            if queue is target.queue:
                if not pace_open(&target.pace, now_ns):
                    return pace_ready_ns(&target.pace)
                if not window_open(&target.window):
                    return 0                     # the end of an attempt will tell
            wait_ns = self.connect_ns(slot, record, target, place, now_ns)
            if wait_ns:
                return wait_ns
            if not bucket_take(bucket, now_ns):
                return bucket_ready_ns(bucket)
            if queue is target.queue:
                pace_spend(&target.pace, now_ns)
            queue.pop()
            self.leave_queue(record)
            self.start(slot, target, place, now_ns)
        return 0

    def deadline_ns(self):
        cdef int64_t timers = self.wheel.deadline_ns()
        cdef int64_t gates = self.gates.deadline_ns()
        if self.sweeps or self.losses or self.ready:
            return 0                     # at once
        if timers < 0 or 0 <= gates < timers:
            return gates
        return timers

    def lookups(self):
        wanted = self.wanted
        self.wanted = []
        return wanted

    # ------------------------------------------------------------------ rare things

    def unregister_all(self, now_ns, rate):
        cdef uint32_t slot
        cdef int64_t now = now_ns
        cdef Record* record
        cdef PolicyState policy
        if self.stopping:
            return
        self.stopping = True
        self.unsettled = 0
        for target in self.target_list:
            self._empty_queue(<Target>target)
            self.set_departure_rate((<Target>target).index, rate)
            self.gates.cancel((<Target>target).index)
            (<Target>target).watch_ns = 0
            for place in range((<Target>target).places):
                self.release(<Target>target, place, now)
            if (<Target>target).departures.count:
                self.make_ready(<Target>target)
        for slot in range(self.count):
            self.unsettled += self.records[slot].flags & UNUSED == 0
        for slot in range(self.count):
            record = &self.records[slot]
            if record.flags & UNUSED:
                continue
            if record.transaction == TX_TRYING or record.transaction == TX_PROCEEDING:
                continue
            policy = <PolicyState>self.policies[record.policy]
            self.settle(slot, record, policy.target, now)

    cdef void _empty_queue(self, Target target) noexcept:
        """Whoever waited to register waits no more: the stop asks each whether it is bound."""
        cdef int64_t slot = target.queue.pop()
        while slot >= 0:
            self.leave_queue(&self.records[slot])
            slot = target.queue.pop()

    def remaining(self):
        return self.unsettled if self.stopping else self.held

    def targets(self):
        return [
            TargetInfo(target.index, target.label, target.host, target.port, target.protocol,
                       target.registrations, max(target.max_rate, 0.0),
                       target.transports, (<Target>target).is_secure,
                       (<Target>target).is_strict, target.max_outstanding)
            for target in self.target_list
        ]

    def unarmed(self):
        """Names of registrations that nothing would ever wake: always empty (for tests)."""
        cdef uint32_t slot
        cdef Record* record
        lost = []
        for slot in range(self.count):
            record = &self.records[slot]
            if record.state == S_REJECTED or not record.flags & BEGUN:
                continue
            if record.flags & (SETTLED | IN_QUEUE | IN_SEND | UNUSED):
                continue
            if record.flags & HELD and record.state == S_UNREGISTERED:
                continue
            if not self.wheel.is_armed(slot):
                lost.append(self.name_of(record))
        return lost
