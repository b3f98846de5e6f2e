# cython: boundscheck=False, wraparound=False
"""The embedded registrar's core behind its verbs; `procedure` does the work.

**Transactions without memory.** The server transaction of RFC 3261 section 17.2.2 (Figure 8) exists
to give a retransmission the answer that its request got. At 60,000 requests a second, 32 s of
answers would be two million of them, so none is kept; what a stateless server does (section 8.2.7)
and what the bindings know suffices:

* A transaction is the keyed hash of its topmost branch and sent-by, its Call-ID, method and CSeq.
  To tags are that hash, so a repeated request meets the same tag.
* Each binding, and each AOR for what was done last, knows the transaction that did it. A request of
  a known transaction changes nothing: it is not a replay of its nonce, its CSeq is not too low, and
  its 200 is written anew from the bindings.
* A request without credentials gets a challenge with another nonce, which is as good as the first.
* What is refused without looking at bindings (400, 404, 405, 416, 420, 423 …) is refused again.
* Scripted statuses follow from the hash of the transaction (`script`), so they repeat as well.
* While an answer waits in the delay line, its request is absorbed: the state Trying.
"""

import datetime

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

import msgspec

from regiment.errors import LocalError
from regiment.registrar import counts
from regiment.registrar.settings import check_settings

from regiment.datagram cimport Batch, Datagram
from regiment.registrar.aor cimport Identity, identify
from regiment.registrar.counts cimport (
    CELL_AORS,
    CELL_BINDINGS,
    CELL_CHANGES,
    CELL_COUNT,
    CELL_CREDENTIALS,
    CELL_DELAYED,
    CELL_DISCARDED,
    CELL_FAULTS,
    CELL_REQUESTS,
    CELL_RESPONSES,
    CELL_RETRANSMISSIONS,
    CELL_SERVER,
    CELL_USERS,
)
from regiment.registrar.location cimport NO_AOR, Binding, Location
from regiment.registrar.procedure cimport Procedure, remaining_s
from regiment.registrar.script cimport Script

cdef enum:
    EXPIRED_PER_CALL = 4096

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

if counts.CELL_COUNT != CELL_COUNT or counts.OFFSETS[:12] != (
        CELL_REQUESTS, CELL_RESPONSES, CELL_DISCARDED, CELL_CREDENTIALS, CELL_RETRANSMISSIONS,
        CELL_FAULTS, CELL_CHANGES, CELL_BINDINGS, CELL_AORS, CELL_USERS, CELL_DELAYED, CELL_SERVER):
    raise ImportError("counts.py and counts.pxd disagree: build again")


cdef class Engine:
    def __init__(self, settings, *, seed=0, cells=None, uint32_t max_aors=4_000_000):
        self.settings = check_settings(settings)
        self.seed = seed
        self.procedure = Procedure(settings, seed, cells, max_aors)

    def begin(self, int64_t now_ns, int64_t wall_s=0):
        self.wall_offset_ns = wall_s * 1_000_000_000 - now_ns if wall_s else 0
        self.date_s = -1
        self.procedure.date = b""

    def receive(self, Batch inbox not None, int64_t now_ns):
        cdef uint32_t i
        if self.wall_offset_ns and (now_ns + self.wall_offset_ns) // 1_000_000_000 != self.date_s:
            _tell_date(self, now_ns)
        for i in range(inbox.count):
            self.procedure.take(&inbox.items[i], now_ns)

    def expire(self, int64_t now_ns):
        cdef Procedure procedure = self.procedure
        procedure.location.expire(now_ns, EXPIRED_PER_CALL)
        if procedure.delayed.count:
            procedure.delayed.release(now_ns, procedure.queue)
            procedure.cells[CELL_DELAYED] = procedure.delayed.count

    def send(self, Batch outbox not None, int64_t now_ns):
        cdef Batch queue = self.procedure.queue
        cdef Datagram* item
        cdef char* room
        while queue.cursor < queue.count:
            item = &queue.items[queue.cursor]
            room = outbox.reserve(item.length)
            if room == NULL:
                return True
            memcpy(room, item.data, item.length)
            outbox.commit(item.length, &item.peer, item.socket)
            outbox.items[outbox.count - 1].flow = item.flow
            queue.cursor += 1
        queue.clear()
        return False

    def deadline_ns(self):
        cdef Procedure procedure = self.procedure
        cdef int64_t first_ns = procedure.location.wheel.deadline_ns(), other_ns
        if procedure.delayed.count:
            other_ns = procedure.delayed.wheel.deadline_ns()
            if first_ns < 0 or 0 <= other_ns < first_ns:
                first_ns = other_ns
        return first_ns

    def events(self):
        notices = self.procedure.notices
        told = [text for text, was_told in notices.items() if not was_told]
        notices.update(dict.fromkeys(told, True))
        return told

    def counts(self):
        return counts.name_counts(self.procedure.memory)

    def set_faults(self, faults):
        self.settings = check_settings(msgspec.structs.replace(self.settings, faults=faults))
        self.procedure.script = Script(faults, self.seed)

    def bindings(self, str aor not None, int64_t now_ns):
        cdef Location location = self.procedure.location
        cdef Identity identity
        cdef Binding* binding
        cdef bytes uri = aor.encode()
        cdef uint32_t number
        if not identify(&self.procedure.aor_key, uri, <uint32_t>len(uri), &identity):
            raise LocalError(f"not a SIP address-of-record: {aor!r}")
        found = []
        number = location.find(identity.high, identity.low)
        if number == NO_AOR:
            return found
        binding = location.aors[number].first
        while binding != NULL:
            if binding.expires_ns > now_ns:
                text = binding.text[:binding.uri_length].decode("utf-8", "replace")
                found.append((text, remaining_s(binding, now_ns)))
            binding = binding.next
        return found

    def __len__(self):
        return self.procedure.cells[CELL_BINDINGS]


cdef int _tell_date(Engine self, int64_t now_ns) except -1:
    # Once a second; strftime would speak the user's language.
    self.date_s = (now_ns + self.wall_offset_ns) // 1_000_000_000
    at = _EPOCH + datetime.timedelta(seconds=self.date_s)
    text = (f"Date: {_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04} "
            f"{at.hour:02}:{at.minute:02}:{at.second:02} GMT\r\n")
    self.procedure.date = text.encode()
    return 0
