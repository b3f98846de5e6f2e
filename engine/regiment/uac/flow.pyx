"""TCP and TLS connections as the core sees them: numbers, states and who is on which.

The core says which connection it wants (`dials`) and which it no longer needs (`hangups`); whoever
owns the sockets says what became of them. Registrations to one address share a connection, or some
(`@connection`), or each has its own. Requests wait in a connection's ring until it stands.

Whatever ends a connection, the way back leads through the target: a failed connect gates the
address for a time that doubles, new connections are opened at a bounded rate, and the registrations
that had been on it queue up by earliest expiry like any others that are due.
"""

from regiment.uac.governor cimport bucket_ready_ns, bucket_take
from regiment.uac.health cimport WINDOW_FIRST, Address
from regiment.uac.passage cimport NOBODY
from regiment.uac.policy cimport S_REGISTERED
from regiment.uac.registration cimport CUT, IN_SEND, SENT, STREAM, UNUSED, Face
from regiment.uac.transaction cimport TX_PROCEEDING, TX_TRYING

from regiment.datagram import peer_to_address
from regiment.uac.destination import Dial

cdef int64_t BACKOFF_FIRST_NS = 1_000_000_000
cdef int64_t BACKOFF_MOST_NS = 60_000_000_000
cdef int64_t SHORT_NS = 30_000_000_000

cdef enum:
    TOLD = 16384               # records looked at in one launch() after a connection was lost
    IDLE_SURVEYS = 3           # a connection that is nobody's for so long is closed


cdef class Flow:
    """One connection."""

    def __init__(self, uint32_t number, Target target, int place, tuple key, int64_t owner):
        self.number, self.target, self.place, self.key = number, target, place, key
        self.owner = owner
        self.state = FLOW_CONNECTING
        self.waiting.first = self.waiting.last = NOBODY
        self.local = ""


cdef class Flows(Passages):
    """Passages over connections."""

    # ------------------------------------------------------------------ the worker's side

    def dials(self):
        dialed = self.dialed
        self.dialed = []
        return dialed

    def hangups(self):
        left = self.left
        self.left = []
        return left

    def connected(self, number, local, now_ns):
        cdef Flow flow = self.flow_at(number)
        if flow is None or flow.state != FLOW_CONNECTING:
            return
        host, port = peer_to_address(local)
        flow.local = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        flow.state = FLOW_OPEN
        flow.opened_ns = now_ns
        flow.target.connecting -= 1
        flow.target.open += 1
        self.writable(number, True, now_ns)

    def writable(self, number, on, now_ns):
        cdef Flow flow = self.flow_at(number)
        cdef int64_t slot
        if flow is None:
            return
        flow.writable = on
        while on:
            slot = self.take_first(&flow.waiting)
            if slot < 0:
                break
            self.push_send(<uint32_t>slot, &self.records[slot])

    def disconnected(self, number, reason, now_ns):
        cdef Flow flow = self.flow_at(number)
        cdef bint is_failure
        if flow is None:
            return
        # one that ends as soon as it has served is no better than one that never did
        is_failure = flow.state != FLOW_LEFT and (
            not flow.proven or <int64_t>now_ns - flow.opened_ns < SHORT_NS)
        self._drop(flow)
        if is_failure:
            flow.target.trouble = reason
            self._back_off(flow, now_ns)
        if flow.owner >= 0:
            self._lose(<uint32_t>flow.owner, flow, reason, now_ns)
        self.losses.append([flow, reason, 0 if flow.owner < 0 else <int64_t>self.count])
        self.make_ready(flow.target)

    def _back_off(self, Flow flow, now_ns):
        """Once for all who failed meanwhile: the address is left alone, each time twice as long."""
        cdef Address* address = &flow.target.addresses[flow.place]
        cdef int64_t wait_ns
        if address.gated_until_ns > <int64_t>now_ns:
            return
        wait_ns = BACKOFF_FIRST_NS << min(address.failures, <uint32_t>6)
        wait_ns = min(wait_ns, BACKOFF_MOST_NS)
        address.failures += 1
        wait_ns += <int64_t>(0.25 * wait_ns * self.uniform())
        address.gated_until_ns = <int64_t>now_ns + wait_ns
        if flow.target.is_watched and address.window == 0:
            address.window = WINDOW_FIRST

    cdef str local_of(self, const Record* record, Face face):
        cdef Flow flow = self.flow_at(record.flow)
        return flow.local if flow is not None and flow.local else face.local

    # ------------------------------------------------------------------ which connection

    cdef Flow flow_at(self, uint32_t number):
        """None: it is gone."""
        return <Flow>self.flows.get(number) if number else None

    cdef bint is_stream(self, const Record* record) noexcept:
        return record.flags & STREAM != 0

    cdef Flow _usable(self, uint32_t slot, Record* record, PolicyState policy, int place):
        """The connection that its next request takes, if there is one already."""
        cdef Flow flow
        if policy.connections:
            flow = policy.target.shared.get(
                (place, slot % policy.connections, policy.certificate))
        else:
            flow = self.flow_at(record.flow)
            if flow is not None and (
                    flow.owner != slot or flow.place != place or flow.target is not policy.target
                    or flow.certificate != policy.certificate):
                flow = None
        return None if flow is None or flow.state == FLOW_LEFT else flow

    cdef Flow _open(self, uint32_t slot, PolicyState policy, int place, int64_t now_ns):
        cdef Target target = policy.target
        cdef Address* address = &target.addresses[place]
        cdef Flow flow
        cdef tuple key = None
        if policy.connections:
            key = (place, slot % policy.connections, policy.certificate)
        self.flow_count += 1
        flow = Flow(self.flow_count, target, place, key, -1 if policy.connections else slot)
        flow.certificate = policy.certificate
        self.flows[flow.number] = flow
        if key is not None:
            target.shared[key] = flow
        address.flows += 1
        target.connecting += 1
        self.dialed.append(Dial(
            flow.number, (<char*>address.peer.bytes)[:address.peer.length],
            (<Face>self.faces[address.face]).number, target.host, policy.policy.certificate))
        return flow

    cdef int64_t connect_ns(self, uint32_t slot, Record* record, Target target, int place,
                            int64_t now_ns) except -1:
        if not target.addresses[place].is_stream:
            return 0
        if self._usable(slot, record, <PolicyState>self.policies[record.policy], place) is not None:
            return 0
        return bucket_ready_ns(&target.connects) if (
            target.connects.theoretical_ns > now_ns + target.connects.tolerance_ns) else 0

    cdef int convey(self, uint32_t slot, Record* record, Target target, int64_t now_ns) except -1:
        cdef PolicyState policy = <PolicyState>self.policies[record.policy]
        cdef Flow flow
        if not record.flags & STREAM:
            self.push_send(slot, record)
            return 0
        flow = self._usable(slot, record, policy, record.address)
        if flow is None:
            if record.flags & IN_SEND:
                return 0             # on its way out it comes here once more
            if not self.stopping and not bucket_take(&target.connects, now_ns):
                return self.postpone(slot, now_ns)
            flow = self._open(slot, policy, record.address, now_ns)
        record.flow = flow.number
        if record.flags & IN_SEND:
            return 0
        if flow.state == FLOW_OPEN and flow.writable:
            self.put(&self.sending, slot)
        else:
            self.put(&flow.waiting, slot)
        return 0

    cdef int note_flow(self, uint32_t number, int64_t now_ns) except -1:
        """A response came over it: the next connect starts from no failure."""
        cdef Flow flow = self.flow_at(number)
        if flow is None:
            return 0
        flow.heard_ns = now_ns
        if not flow.proven:
            flow.proven = True
            flow.target.trouble = ""
        if now_ns - flow.opened_ns >= SHORT_NS:
            flow.target.addresses[flow.place].failures = 0
        return 0

    # ------------------------------------------------------------------ its end

    cdef int leave_flow(self, Flow flow) except -1:
        """Nobody takes it any more; the worker closes it."""
        if flow.state == FLOW_LEFT:
            return 0
        if flow.state == FLOW_OPEN:
            flow.target.open -= 1
        else:
            flow.target.connecting -= 1
        flow.state = FLOW_LEFT
        flow.writable = False
        if flow.key is not None and flow.target.shared.get(flow.key) is flow:
            del flow.target.shared[flow.key]
        self.left.append(flow.number)
        return 0

    cdef int _drop(self, Flow flow) except -1:
        if flow.state == FLOW_OPEN:
            flow.target.open -= 1
        elif flow.state == FLOW_CONNECTING:
            flow.target.connecting -= 1
        flow.state = FLOW_LEFT
        if flow.key is not None and flow.target.shared.get(flow.key) is flow:
            del flow.target.shared[flow.key]
        flow.target.addresses[flow.place].flows -= 1
        del self.flows[flow.number]
        return 0

    cdef int tell_losses(self, int64_t now_ns) except -1:
        """Those that waited for connections that are gone, then those that were on them: at most
        so many records are looked at."""
        cdef int64_t left = TOLD
        while self.losses and left > 0:
            left -= self._tell_loss(self.losses[0], now_ns)
        return 0

    cdef int64_t _tell_loss(self, list loss, int64_t now_ns) except -1:
        cdef Flow flow
        cdef int64_t slot
        cdef uint32_t at, end
        flow, reason, start = loss
        slot = self.take_first(&flow.waiting)
        while slot >= 0:
            if flow.proven:
                self.postpone(<uint32_t>slot, now_ns)
            else:
                self.on_flow_error(<uint32_t>slot, reason, now_ns)
            slot = self.take_first(&flow.waiting)
        end = min(<uint32_t>start + TOLD, self.count)
        for at in range(<uint32_t>start, end):
            if self.records[at].flow == flow.number:
                self._lose(at, flow, reason, now_ns)
        if end >= self.count:
            self.losses.pop(0)
        else:
            loss[2] = end
        return 1 + end - <int64_t>start

    cdef int _lose(self, uint32_t slot, Flow flow, str reason, int64_t now_ns) except -1:
        """A registration was on a connection that is gone."""
        cdef Record* record = &self.records[slot]
        cdef bint is_busy = record.transaction in (TX_TRYING, TX_PROCEEDING)
        if record.flow != flow.number or record.flags & UNUSED:
            return 0
        record.flow = 0
        if is_busy and not record.flags & SENT:
            # it stands in a ring: from there it finds another connection, or fails
            return 0
        if is_busy and flow.proven and not record.flags & CUT:
            record.flags |= CUT            # once an attempt: the registrar has refused nothing
            return self.postpone(slot, now_ns)
        if is_busy:
            return self.on_flow_error(slot, reason, now_ns)
        if record.state == S_REGISTERED and not self.stopping and reason:
            return self.recall(slot, now_ns)
        return 0

    cdef int count_flow_users(self) except -1:
        """Closes the connections on which nobody has been for some surveys: a walk over all."""
        cdef uint32_t slot
        cdef Record* record
        cdef Flow flow = None
        if not self.flows:
            return 0
        for flow in self.flows.values():
            flow.users = 0
        for slot in range(self.count):
            record = &self.records[slot]
            if record.flow == 0 or record.flags & UNUSED:
                continue
            if flow is None or flow.number != record.flow:
                flow = self.flow_at(record.flow)
            if flow is not None and (record.expires_ns or record.flags & IN_SEND or (
                    record.transaction in (TX_TRYING, TX_PROCEEDING))):
                flow.users += 1
        for flow in list(self.flows.values()):
            flow.idle_surveys = 0 if flow.users else flow.idle_surveys + 1
            if flow.idle_surveys >= IDLE_SURVEYS and flow.state == FLOW_OPEN:
                self.leave_flow(flow)
        return 0

    cdef int give_up_flow(self, Record* record, Target target) except -1:
        """A request was not answered: is that the connection's fault, so that it has to be left?"""
        cdef Flow flow = self.flow_at(record.flow)
        if flow is None or flow.heard_ns >= record.sent_ns or flow.state != FLOW_OPEN:
            return 0
        self.leave_flow(flow)
        self.losses.append([flow, "no answer", 0 if flow.owner < 0 else <int64_t>self.count])
        return 0

    cdef int withdraw(self, Target target, int place, int64_t now_ns) except -1:
        """The address is suspect: who waits for a connection to it goes elsewhere."""
        cdef Flow flow
        if target.addresses[place].flows == 0:
            return 0
        for flow in list(self.flows.values()):
            if flow.target is target and flow.place == place:
                self.move_ring(&flow.waiting, now_ns)
        return 0

    # ------------------------------------------------------------------ what the attempts add

    cdef int on_flow_error(self, uint32_t slot, str reason, int64_t now_ns) except -1:
        """Its transaction ends: there is no connection for it."""
        return 0

    cdef int recall(self, uint32_t slot, int64_t now_ns) except -1:
        """The connection of its binding is gone: it registers anew, as its target allows."""
        return 0
