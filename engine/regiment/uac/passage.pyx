"""Who may be sent where, and what waits until it may.

A request that is made goes into the ring that the next `send` empties, unless the address that it
is aimed at has as many transactions as it may have (`health`): then it waits at that address. What
an address that has become suspect was asked moves on to another one, a part of the records at a
time, so that a turn stays short. With no other address left everything stays where it is.
"""

from regiment.keyed cimport keyed_word
from regiment.timing.pacer cimport next_random, unit_interval
from regiment.uac.health cimport (
    address_heard, address_occupy, address_probe, address_suspect, address_vacate, has_room,
    verdict_ns,
)
from regiment.uac.policy cimport K_UNREGISTER
from regiment.uac.registration cimport IN_SEND, OCCUPIES, STREAM, UNUSED, Face, PolicyState
from regiment.uac.transaction cimport TX_PROCEEDING, TX_TRYING

cdef int64_t LOOKUP_PAUSE_NS = 5_000_000_000

cdef enum:
    SWEPT = 16384              # records looked at in one launch()


cdef class Passages(Notices):
    """Targets, their addresses, and the rings of what is to be sent to them."""

    cdef double uniform(self) noexcept nogil:
        """[0, 1) with 53 random bits."""
        return unit_interval(next_random(&self.random))

    cdef uint64_t secret_word(self) noexcept nogil:
        """A registrar sees our branches and tags, and must not learn those of other ones."""
        self.secrets_used += 1
        return keyed_word(&self.secret, self.secrets_used)

    cdef int make_ready(self, Target target) except -1:
        """The next launch() looks at its queues."""
        if not target.ready:
            target.ready = True
            self.ready.append(target)
        return 0

    cdef void want_addresses(self, Target target, int64_t now_ns):
        if target.resolving:
            return
        if target.resolved_ns and now_ns - target.resolved_ns < LOOKUP_PAUSE_NS and (
                target.address_count):
            return
        target.resolving = True
        self.wanted.append(target.index)

    # ------------------------------------------------------------------ faces

    cdef int face_number(self, int number, object transport, object socket, str host,
                         int port) except -1:
        """That face of a transport; a new one if it was never seen."""
        key = (number, host, port)
        face = self.face_by_key.get(key)
        if face is None:
            face = self.face_by_key[key] = len(self.faces)
            self.faces.append(Face(transport, number, socket, host, port))
        return face

    # ------------------------------------------------------------------ rings

    cdef void put(self, Ring* ring, uint32_t slot) noexcept nogil:
        """A record stands in one ring at most: IN_SEND says that it does."""
        self.records[slot].flags |= IN_SEND
        self.records[slot].send_next = NOBODY
        if ring.first == NOBODY:
            ring.first = slot
        else:
            self.records[ring.last].send_next = slot
        ring.last = slot

    cdef int64_t take_first(self, Ring* ring) noexcept nogil:
        """The slot that stands first, taken out; -1: the ring is empty."""
        cdef uint32_t slot = ring.first
        if slot == NOBODY:
            return -1
        ring.first = self.records[slot].send_next
        if ring.first == NOBODY:
            ring.last = NOBODY
        self.records[slot].flags &= ~IN_SEND
        return slot

    cdef void push_send(self, uint32_t slot, Record* record) noexcept nogil:
        if not record.flags & IN_SEND:
            self.put(&self.sending, slot)

    # ------------------------------------------------------------------ one request

    cdef void aim(self, Record* record, Target target, int place) noexcept:
        """Its next request goes to that address, and shows our side as seen from there."""
        cdef const Address* address
        cdef Face face
        record.address = <unsigned char>place
        if place >= target.places:
            return
        address = &target.addresses[place]
        record.flags = record.flags | STREAM if address.is_stream else record.flags & ~STREAM
        if record.face == address.face and not self.any_learned:
            return
        face = <Face>self.faces[address.face]
        # what is to be unbound is the Contact that was bound
        if record.kind == K_UNREGISTER and (<Face>self.faces[record.face]).number == face.number:
            return
        record.face = address.face
        if address.seen_as and (<PolicyState>self.policies[record.policy]).is_learning:
            record.face = address.seen_as - 1

    cdef int dispatch(self, uint32_t slot, Record* record, Target target, bint is_answer,
                      int64_t now_ns) except -1:
        """`is_answer`: it answers what the address has just said, and waits for no room."""
        cdef Address* address = &target.addresses[record.address]
        if not (is_answer or self.stopping or record.kind == K_UNREGISTER or has_room(address)
                or record.flags & IN_SEND):
            self.put(&address.parked, slot)
            return 0
        self.occupy(slot, record, target, now_ns)
        return self.convey(slot, record, target, now_ns)

    cdef int occupy(self, uint32_t slot, Record* record, Target target, int64_t now_ns) except -1:
        cdef Address* address = &target.addresses[record.address]
        record.flags |= OCCUPIES
        if address.probe_ns and address.probe_ns <= now_ns:
            address_probe(address, now_ns)
        address_occupy(address, now_ns)
        if target.is_watched and target.watch_ns == 0:
            target.watch_ns = verdict_ns(address)
            if target.watch_ns:
                self.arm_gate(target, target.watch_ns)
        return 0

    cdef int vacate(self, Record* record, Target target, int64_t now_ns) except -1:
        cdef Address* address
        if not record.flags & OCCUPIES:
            return 0
        record.flags &= ~OCCUPIES
        address = &target.addresses[record.address]
        address_vacate(address)
        if address.window:
            self.release(target, record.address, now_ns)
        return 0

    cdef int heard(self, const Record* record, Target target, int64_t now_ns) except -1:
        if address_heard(&target.addresses[record.address], now_ns):
            self.release(target, record.address, now_ns)
        return 0

    cdef int release(self, Target target, int place, int64_t now_ns) except -1:
        """Room has come at an address: for who waits there first, then for who waits to start."""
        cdef Address* address = &target.addresses[place]
        cdef int64_t slot
        while address.parked.first != NOBODY and (has_room(address) or self.stopping):
            slot = self.take_first(&address.parked)
            self.occupy(<uint32_t>slot, &self.records[slot], target, now_ns)
            self.convey(<uint32_t>slot, &self.records[slot], target, now_ns)
        if target.queue.count:
            self.make_ready(target)
        return 0

    # ------------------------------------------------------------------ suspicion

    cdef void arm_gate(self, Target target, int64_t due_ns) noexcept:
        """The target is looked at then, or earlier if that was planned before."""
        cdef int64_t planned_ns = self.gates.due_ns(target.index)
        if planned_ns < 0 or due_ns < planned_ns:
            self.gates.arm(target.index, due_ns)

    cdef int look_after(self, Target target, int64_t now_ns) except -1:
        cdef int64_t due_ns, first_ns = 0
        cdef int place
        if not target.is_watched:
            return 0
        # those that a name no longer gives, too, as long as something runs towards them
        for place in range(target.places):
            due_ns = verdict_ns(&target.addresses[place])
            if due_ns and due_ns <= now_ns:
                self._suspect(target, place, now_ns)
                due_ns = verdict_ns(&target.addresses[place])
                if due_ns and due_ns <= now_ns:          # it goes on as it is: nobody else is there
                    due_ns = 0
            if due_ns and (first_ns == 0 or due_ns < first_ns):
                first_ns = due_ns
        target.watch_ns = first_ns
        if first_ns:
            self.arm_gate(target, first_ns)
        return 0

    cdef int _suspect(self, Target target, int place, int64_t now_ns) except -1:
        cdef Address* address = &target.addresses[place]
        cdef int64_t slot
        address_suspect(address, now_ns, self.uniform())
        self.want_addresses(target, now_ns)
        if target.next_free(place, now_ns) < 0:
            # what runs stays; what waits goes back to the queue, from where any address may take it
            slot = self.take_first(&address.parked)
            while slot >= 0:
                self.postpone(<uint32_t>slot, now_ns)
                slot = self.take_first(&address.parked)
            return 0
        self.move_ring(&address.parked, now_ns)
        self.withdraw(target, place, now_ns)
        self.sweeps.append([target, place, 0])
        if target.queue.count:
            self.make_ready(target)
        return 0

    cdef int move_ring(self, Ring* ring, int64_t now_ns) except -1:
        """Takes those that wait in a ring to other addresses; who finds none stays in it."""
        cdef uint32_t last = ring.last
        cdef int64_t slot = self.take_first(ring)
        while slot >= 0:
            if not self.move_on(<uint32_t>slot, now_ns):
                self.put(ring, <uint32_t>slot)
            if slot == last:
                break
            slot = self.take_first(ring)
        return 0

    cdef int sweep(self, int64_t now_ns) except -1:
        """Moves transactions away from suspect addresses; at most so many records are looked at."""
        cdef uint32_t slot, end
        cdef Record* record
        cdef Target target
        cdef int place
        target, place, start = self.sweeps[0]
        end = min(<uint32_t>start + SWEPT, self.count)
        for slot in range(<uint32_t>start, end):
            record = &self.records[slot]
            # who still stands in a ring moves on at its next Timer E
            if record.flags & (UNUSED | OCCUPIES | IN_SEND) != OCCUPIES or (
                    record.address != place):
                continue
            if (<PolicyState>self.policies[record.policy]).target is not target:
                continue
            if record.transaction in (TX_TRYING, TX_PROCEEDING):
                self.move_on(slot, now_ns)
        if end >= self.count or target.addresses[place].outstanding == 0 or (
                target.addresses[place].probe_ns == 0):
            self.sweeps.pop(0)
        else:
            self.sweeps[0][2] = end
        return 0

    cdef int convey(self, uint32_t slot, Record* record, Target target, int64_t now_ns) except -1:
        """Its request goes out."""
        self.push_send(slot, record)
        return 0

    cdef int postpone(self, uint32_t slot, int64_t now_ns) except -1:
        """Its attempt starts again when its target lets it go, and nothing is counted."""
        return 0

    cdef int withdraw(self, Target target, int place, int64_t now_ns) except -1:
        """The address is suspect."""
        return 0

    cdef bint move_on(self, uint32_t slot, int64_t now_ns) except -1:
        """Takes a running transaction to another address; False: there is none for it."""
        return False
