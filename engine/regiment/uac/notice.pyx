"""What is told of registrations: changes of state, and where a binding was made.

Nobody listening, failures and recoveries are told, which is what a log wants. While somebody
watches, every change is: the first binding, and the end of one that an operator or a stop asked
for. Refreshes that succeed are no change. What is told is bounded, because what makes a hundred
thousand registrations fail makes them do so at the same time.
"""

from libc.stdlib cimport calloc, free

from regiment.datagram cimport format_peer
from regiment.sip.scanner cimport H_WARNING
from regiment.uac.affinity cimport affinity_lists
from regiment.uac.ledger cimport mark_of
from regiment.uac.policy cimport S_REGISTERED
from regiment.uac.registration cimport Face, PolicyState

from libc.stdint cimport uint16_t

from regiment import model

cdef enum:
    NOTES_MAX = 4096
    WARNING_BYTES_MAX = 256


cdef str place_of(const Peer* peer):
    """host:port."""
    cdef char address[64]
    cdef uint16_t port = 0
    cdef int length = format_peer(peer, address, &port)
    host = (<bytes>address[:length]).decode("ascii")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


cdef class Notices(Population):
    """Records, and what is told of them."""

    def __dealloc__(self):
        free(self.turns)

    def watch(self, everything):
        self.watched = everything

    def events(self):
        noted = self.noted
        self.noted = []
        return noted

    cdef str local_of(self, const Record* record, Face face):
        """host:port of our end."""
        return face.local

    cdef int turned(self, const Record* record, int old, int64_t now_ns) except -1:
        """Remembers a change of state that tells something; what is healthy is not told."""
        cdef Turn* turn
        if self.turns == NULL:
            self.turns = <Turn*>calloc(TURNS_MAX, sizeof(Turn))
            if self.turns == NULL:
                raise MemoryError
        turn = &self.turns[self.turn_at % TURNS_MAX]
        self.turn_at += 1
        turn.at_ns = now_ns
        turn.slot = <uint32_t>(record - self.records)
        turn.mark = mark_of(<const char*>record.call_id, 16)
        turn.code = record.code
        turn.state_from, turn.state_to = <unsigned char>old, record.state
        turn.failure_class = record.failure_class
        return 0

    cdef int note(self, Record* record, Target target, int old, double retry_in_s,
                  bint is_minor=False) except -1:
        """A change of state for logs and listeners."""
        cdef bint registered = record.state == S_REGISTERED
        if len(self.noted) >= NOTES_MAX:
            self.notes_dropped += 1
            return 0
        reason = "" if record.reason == NULL else (<bytes>record.reason).decode("utf-8", "replace")
        asked_s = 0 if self.said == NULL else max(self.said.retry_after, <int64_t>0)
        self.noted.append(model.Event(
            self.name_of(record), model.STATES[old], model.STATES[record.state], record.code,
            model.CLASSES[record.failure_class], reason, retry_in_s, target.label,
            self._warning(), asked_s,
            record.granted_s if registered else 0,
            self.affinity_of(record) if registered and self.watched else None,
            is_minor))
        return 0

    cdef int note_if_watched(self, Record* record, Target target, int old) except -1:
        """A change that nobody needs to hear of who only wants to know what is wrong."""
        if self.watched and old != record.state:
            self.note(record, target, old, -1.0, True)
        return 0

    cdef str _warning(self):
        """The Warning of the response that is being acted on (RFC 3261 20.43)."""
        cdef uint32_t start, length
        if self.said == NULL or self.said.count[H_WARNING] == 0:
            return ""
        start = self.said.first[H_WARNING].start
        length = min(self.said.first[H_WARNING].length, <uint32_t>WARNING_BYTES_MAX)
        text = self.said_data[start:start + length].decode("utf-8", "replace")
        return "".join([char if char.isprintable() else " " for char in text])

    cdef object affinity_of(self, const Record* record):
        """Where its binding was made; None: there is none."""
        cdef PolicyState policy = <PolicyState>self.policies[record.policy]
        cdef Target target = policy.target
        cdef Face face = <Face>self.faces[record.face]
        if record.expires_ns == 0:
            return None
        # after a restart the address is not known before the next refresh
        address = place_of(&target.addresses[record.bound_place - 1].peer) if (
            0 < record.bound_place <= target.places) else ""
        return model.Affinity(
            address, face.transport.protocol, self.local_of(record, face),
            *affinity_lists(record.annexes))
