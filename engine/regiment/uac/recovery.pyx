"""What a process leaves to the next one, and what it takes up from the last (see ledger.pyx).

A registration goes on where it was only if it is the same one: the same AOR at the same registrar,
with the same Contact. With another Contact (this worker has other ports than the one that made the
binding) the old one is un-REGISTERed first. Of another AOR or registrar only CSeq counts.
"""

from collections import namedtuple

from cpython.buffer cimport (
    PyBUF_SIMPLE, PyBUF_WRITABLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from regiment.sip.digest cimport digest_bytes, unescape_into
from regiment.sip.response cimport A_MD5, A_NONE, A_UNKNOWN
from regiment.uac.credentials cimport (
    Nonce, nonce_new, nonce_realm, nonce_text,
)
from regiment.uac.ledger cimport (
    ENTRY_TEXT_BYTES, Head, Pulse, entry_close, entry_is_whole, entry_last_pulse, entry_open,
    entry_pulse, long_mark_of, mark_of,
)
from regiment.uac.policy cimport (
    S_REGISTERED, S_REJECTED, S_UNREGISTERING, S_WAITING, Rules,
)
from regiment.uac.registration cimport (
    BEGUN, CONTACT_BYTES_MAX, EVER, HELD, LEAVING, MOVING, PENDING,
)
from regiment.uac.target cimport Target

cdef int64_t NS_PER_S = 1_000_000_000

cdef enum:
    REALM_BYTES_MAX = 512
    CSEQ_STEP = 64
    CSEQ_STEP_OF_BOOT = 4096
    SECRET_BITS = 0xFFFF
    HAS_NONCE = 1
    IS_PROXY = 2
    HAS_QOP = 4

Recovered = namedtuple(
    "Recovered", ("continued", "moved", "torn", "elsewhere", "elsewhere_bound"))


cdef class Recovery(Changes):
    """See recovery.pyi."""

    def attach(self, memory, wall_offset_ns):
        cdef Py_buffer view
        PyObject_GetBuffer(memory, &view, PyBUF_WRITABLE)
        self.head = <Head*>view.buf
        self.entries = <Entry*>view.buf + 1
        self.entry_count = <uint32_t>max(view.len // <Py_ssize_t>sizeof(Entry) - 1, 0)
        self.head.cseq_high = max(
            self.head.cseq_high, self.cells.cseq_high[0], <uint64_t>self.cseq_base)
        # the object is kept, and is a mapping or a bytearray that nobody resizes meanwhile
        PyBuffer_Release(&view)
        self.ledger = memory
        self.wall_offset_ns = wall_offset_ns

    def set_wall(self, wall_offset_ns):
        self.wall_offset_ns = wall_offset_ns

    # ------------------------------------------------------------------ writing

    cdef int keep(self, uint32_t slot, int64_t due_ns) except -1:
        cdef Record* record = &self.records[slot]
        cdef PolicyState policy
        cdef Entry* entry
        cdef Settled* settled
        cdef char contact[CONTACT_BYTES_MAX]
        cdef uint32_t used = 0, length
        cdef int written
        if slot >= self.entry_count or record.flags & LEAVING:
            return 0
        policy = <PolicyState>self.policies[record.policy]
        entry = &self.entries[slot]
        settled = &entry.settled
        entry_open(entry, record.call_id)
        memset(<char*>settled + 4, 0, sizeof(Settled) - ENTRY_TEXT_BYTES - 4)
        settled.cseq = record.cseq
        settled.expires_ns = record.expires_ns + self.wall_offset_ns if record.expires_ns else 0
        settled.due_ns = due_ns + self.wall_offset_ns if due_ns > 0 else 0
        settled.failing_ns = record.failing_ns + self.wall_offset_ns if record.failing_ns else 0
        settled.place_mark = self._place_mark(record, policy)
        settled.granted_s, settled.requested_s = record.granted_s, record.requested_s
        settled.retries, settled.code = record.retries, record.code
        settled.settings_mark = self._settings_mark(record)
        settled.state, settled.failure_class = record.state, record.failure_class
        settled.is_held = record.flags & HELD != 0
        written = self.contact_of(record, policy, contact)
        if 0 < written <= ENTRY_TEXT_BYTES:
            settled.contact_length = <unsigned short>written
            memcpy(settled.text, contact, written)
            used = written
        used = self._write_nonce(settled, record, used)
        if record.reason != NULL:
            length = 0
            while record.reason[length] and used + length < ENTRY_TEXT_BYTES:
                settled.text[used + length] = record.reason[length]
                length += 1
            settled.reason_length = <unsigned short>length
        entry_close(entry)
        return 0

    cdef int _write_nonce(self, Settled* settled, const Record* record, uint32_t used) noexcept:
        """One nonce, if it has room; with several realms all of them are challenged again."""
        cdef const Nonce* nonce = record.nonce
        cdef uint32_t length
        cdef char* at = settled.text + used
        if nonce == NULL or nonce.next != NULL:
            return used
        length = nonce.realm_length + nonce.nonce_length + nonce.opaque_length
        if used + length > ENTRY_TEXT_BYTES or nonce.credential < record.credential:
            return used
        settled.nonce_mark = mark_of(nonce_text(nonce), nonce.nonce_length)
        settled.nonce_flags = HAS_NONCE | (IS_PROXY if nonce.is_proxy else 0) | (
            HAS_QOP if nonce.has_qop else 0)
        settled.algorithm = nonce.algorithm
        settled.credential = <uint8_t>(nonce.credential - record.credential)
        settled.realm_length = nonce.realm_length
        settled.nonce_length = nonce.nonce_length
        settled.opaque_length = nonce.opaque_length
        memcpy(at, nonce_realm(nonce), length)       # realm, nonce and opaque lie end to end
        return used + length

    cdef uint64_t _place_mark(self, const Record* record, PolicyState policy) noexcept:
        return long_mark_of(record.text, record.client_uri_length, policy.mark)

    cdef uint32_t _settings_mark(self, const Record* record) noexcept:
        """Of the rules, and in the low 16 bits of the secrets: a keyed hash, enough to see that one
        was changed, too few to try out secrets on."""
        cdef const Rules* rules = &(<PolicyState>self.policies[record.policy]).rules
        cdef uint32_t mark = record.credentials
        cdef uint32_t at
        for at in range(record.credential, record.credential + record.credentials):
            mark = mark * 31 + self.keyring.items[at].mark
        return mark & SECRET_BITS | (
            mark_of(<const char*>rules, sizeof(Rules)) & ~<uint32_t>SECRET_BITS)

    # ------------------------------------------------------------------ reading

    def adopt(self, former, same_boot, now_ns):
        cdef Py_buffer view
        cdef const Entry* entry
        cdef uint32_t at, count
        cdef int64_t now = now_ns
        cdef int64_t slot
        cdef int taken
        cdef uint32_t continued = 0, moved = 0, torn = 0, elsewhere = 0, elsewhere_bound = 0
        PyObject_GetBuffer(former, &view, PyBUF_SIMPLE)
        try:
            count = <uint32_t>(view.len // sizeof(Entry))
            if count:
                self._raise_cseq((<const Head*>view.buf).cseq_high, same_boot)
            for at in range(1, count):
                entry = <const Entry*>view.buf + at
                if is_blank(entry):
                    continue
                slot = -1
                if self.index != NULL:
                    slot = <int64_t>self.index[self._place(entry.call_id)] - 1
                if slot < 0:
                    elsewhere += 1
                    elsewhere_bound += entry_is_whole(entry) and (
                        entry.settled.expires_ns > now + self.wall_offset_ns)
                    continue
                taken = self._take_up(<uint32_t>slot, entry, same_boot, now)
                continued += taken > 0
                moved += taken > 1
                torn += taken < 0
        finally:
            PyBuffer_Release(&view)
        return Recovered(continued, moved, torn, elsewhere, elsewhere_bound)

    cdef int _raise_cseq(self, uint64_t former, bint same_boot) except -1:
        """Names that the former process had and forgot may come back: theirs were no higher.

        After another boot nobody knows how much higher they were: a good deal more is left out.
        """
        cdef uint32_t slot
        cdef uint64_t base = former + CSEQ_STEP
        if not same_boot:
            base = max(former, <uint64_t>self.cseq_base) + CSEQ_STEP_OF_BOOT
        if former == 0 and same_boot or base >= 1 << 31 or base <= self.cseq_base:
            return 0
        for slot in range(self.count):
            if self.records[slot].cseq == self.cseq_base:
                self.records[slot].cseq = <uint32_t>base
        self.cseq_base = <uint32_t>base
        if self.head != NULL and self.head.cseq_high < base:
            self.head.cseq_high = base
        return 0

    cdef int _take_up(self, uint32_t slot, const Entry* entry, bint same_boot,
                      int64_t now_ns) except -2:
        """1: it goes on; 2: with another Contact; 0: it starts; -1: it does, the entry is torn."""
        cdef Record* record = &self.records[slot]
        cdef PolicyState policy = <PolicyState>self.policies[record.policy]
        cdef const Pulse* pulse = entry_last_pulse(entry)
        cdef const Settled* settled = &entry.settled
        cdef bint is_whole = entry_is_whole(entry)
        cdef uint32_t cseq = 0
        cdef int taken
        if pulse != NULL:
            cseq = pulse.cseq
        if is_whole and settled.cseq > cseq:
            cseq = settled.cseq
        if cseq == 0 or record.flags & BEGUN and cseq < record.cseq:
            return 0                         # of a former bearer of the name
        # Else the last ones may never have been stored: it begins above all of the former process.
        if same_boot and is_whole:
            record.cseq = cseq
        else:
            record.cseq = max(cseq, record.cseq)
        if pulse != NULL:
            record.last_mark, record.last_nc = pulse.nonce_mark, pulse.nc
        if slot < self.entry_count:
            entry_pulse(&self.entries[slot], record.call_id, record.cseq, record.last_nc,
                        record.last_mark)
        if not is_whole:
            return -1
        if settled.place_mark != self._place_mark(record, policy):
            return 0
        record.requested_s = max(record.requested_s, settled.requested_s)
        taken = self._take_up_binding(slot, entry, now_ns)
        if taken and same_boot and settled.nonce_flags & HAS_NONCE:
            self._take_up_nonce(slot, entry)
        if taken:
            self.keep(slot, self.wheel.due_ns(slot))
        return taken

    cdef int _take_up_binding(self, uint32_t slot, const Entry* entry, int64_t now_ns) except -1:
        cdef Record* record = &self.records[slot]
        cdef const Settled* settled = &entry.settled
        cdef Target target = (<PolicyState>self.policies[record.policy]).target
        cdef int64_t wall_ns = now_ns + self.wall_offset_ns
        cdef bint is_bound = settled.expires_ns > wall_ns
        cdef uint32_t marks = self._settings_mark(record)
        cdef bint same_settings = settled.settings_mark == marks
        cdef bint same_secret = (settled.settings_mark ^ marks) & SECRET_BITS == 0
        if is_bound:
            record.expires_ns = settled.expires_ns - self.wall_offset_ns
            record.granted_s = settled.granted_s
            record.flags |= EVER
        record.code, record.failure_class = settled.code, settled.failure_class
        record.failing_ns = settled.failing_ns - self.wall_offset_ns if settled.failing_ns else 0
        if settled.reason_length:
            self.note_reason(
                record, settled.text + settled.contact_length + settled.realm_length
                + settled.nonce_length + settled.opaque_length, settled.reason_length)
        if settled.is_held:
            record.flags |= HELD | BEGUN
        self._take_up_face(record, settled)
        if is_bound and not self._same_contact(slot, settled):
            if settled.contact_length:
                return self._leave_contact(slot, settled)
            return record.flags & HELD != 0      # too long to be kept: that binding lapses
        if settled.is_held:
            if is_bound:
                self.enqueue(slot, record, target)
            return 1
        if settled.state == S_UNREGISTERING:
            record.expires_ns = 0                # perhaps it is gone: better made anew
            return 0
        if settled.state == S_REJECTED and same_settings:
            record.retries = settled.retries
            self._put_state(slot, S_REJECTED)
            record.flags |= BEGUN
            if settled.due_ns:
                self._plan_again(slot, settled.due_ns, now_ns)
            return 1
        if settled.state == S_WAITING and settled.due_ns and same_secret:
            record.retries = settled.retries
            self._put_state(slot, S_WAITING)
            record.flags |= BEGUN
            self._plan_again(slot, settled.due_ns, now_ns)
            return 1
        if not is_bound:
            return 0
        self._put_state(slot, S_REGISTERED)
        record.flags |= BEGUN
        # The connection of a binding has ended with the process; and where our address may be
        # another one by now, the registrar had better be told.
        self._plan_again(slot, settled.due_ns if self._is_as_it_was(record) else 0, now_ns)
        return 1

    cdef bint _is_as_it_was(self, const Record* record) except -1:
        cdef Face face = <Face>self.faces[record.face]
        return not face.is_stream and record.face == self.transports[face.number][2]

    cdef int _take_up_face(self, Record* record, const Settled* settled) except -1:
        """Our side as the former Contact shows it, if one of our transports may still look so."""
        cdef PolicyState policy = <PolicyState>self.policies[record.policy]
        cdef bytes contact = settled.text[:settled.contact_length]
        cdef Face usual
        if record.contact_length:
            return 0
        place, _, rest = contact.rpartition(b"@")[2].partition(b";")
        host, _, port = place.decode("ascii", "replace").rpartition(":")
        host = host.strip("[]")
        asked = rest.decode("ascii", "replace").partition("transport=")[2].partition(";")[0]
        for number in policy.target.transports:
            transport, socket, default = self.transports[number]
            usual = <Face>self.faces[default]
            if transport.protocol != (asked.lower() or "udp") or port != str(usual.port):
                continue
            if host == usual.host or transport.local_net or transport.is_everywhere:
                record.face = self.face_number(number, transport, socket, host, usual.port)
                return 0
        return 0

    cdef int _put_state(self, uint32_t slot, int state) except -1:
        """It has been in that state all the while: no transition is counted."""
        self._count_out(slot)
        self.records[slot].state = <uint8_t>state
        return self._count_in(slot)

    cdef int _plan_again(self, uint32_t slot, int64_t due_wall_ns, int64_t now_ns) except -1:
        """At the moment that was planned. What fell due meanwhile is spread as a start is, but
        within the first half of what is left of the binding."""
        cdef Record* record = &self.records[slot]
        cdef PolicyState policy = <PolicyState>self.policies[record.policy]
        cdef int64_t due_ns = due_wall_ns - self.wall_offset_ns
        cdef int64_t span_ns
        if due_ns <= now_ns:
            span_ns = policy.rules.max_random_initial_delay_s * NS_PER_S
            if record.expires_ns > now_ns:
                span_ns = min(span_ns, (record.expires_ns - now_ns) // 2)
            due_ns = now_ns + <int64_t>((1.0 - self.uniform()) * span_ns)
        self.plan(slot, record, due_ns)
        return 0

    cdef bint _same_contact(self, uint32_t slot, const Settled* settled) except -1:
        cdef Record* record = &self.records[slot]
        cdef char contact[CONTACT_BYTES_MAX]
        cdef int length = self.contact_of(
            record, <PolicyState>self.policies[record.policy], contact)
        return length == settled.contact_length and memcmp(contact, settled.text, length) == 0

    cdef int _leave_contact(self, uint32_t slot, const Settled* settled) except -1:
        """Until the binding of the former Contact is gone, the record has that Contact."""
        cdef Record* record = &self.records[slot]
        cdef bytes former = settled.text[:settled.contact_length]
        cdef bytes line = b";line=" + (<char*>record.line)[:7]
        cdef const char* own = record.text + record.client_uri_length + record.user_length
        if (<PolicyState>self.policies[record.policy]).line:
            former = former.replace(line, b"", 1)     # it is written behind the Contact anyway
        self.pending[slot] = ("contact", own[:record.contact_length])
        self.reword(record, former)
        record.flags |= MOVING | PENDING | BEGUN
        self._put_state(slot, S_REGISTERED)
        self.enqueue(slot, record, (<PolicyState>self.policies[record.policy]).target)
        return 2

    cdef int _take_up_nonce(self, uint32_t slot, const Entry* entry) except -1:
        """The nonce whose count is known to the last one that left."""
        cdef Record* record = &self.records[slot]
        cdef const Settled* settled = &entry.settled
        cdef const Pulse* pulse = entry_last_pulse(entry)
        cdef const char* realm = settled.text + settled.contact_length
        cdef char unescaped[REALM_BYTES_MAX]
        cdef uint8_t secret_hash[32]
        cdef uint32_t length, credential = record.credential + settled.credential
        cdef int algorithm = A_MD5 if settled.algorithm == A_NONE else settled.algorithm
        cdef Nonce* nonce
        if pulse == NULL or pulse.nonce_mark != settled.nonce_mark or record.nonce != NULL:
            return 0
        if settled.credential >= record.credentials or algorithm >= A_UNKNOWN or (
                (settled.settings_mark ^ self._settings_mark(record)) & SECRET_BITS):
            return 0
        length = unescape_into(unescaped, realm, settled.realm_length)
        self.keyring.ha1_into(credential, algorithm, unescaped, length, secret_hash)
        nonce = nonce_new(
            secret_hash, digest_bytes(algorithm), realm, settled.realm_length,
            realm + settled.realm_length, settled.nonce_length,
            realm + settled.realm_length + settled.nonce_length, settled.opaque_length)
        nonce.algorithm = settled.algorithm
        nonce.is_proxy = settled.nonce_flags & IS_PROXY != 0
        nonce.has_qop = settled.nonce_flags & HAS_QOP != 0
        nonce.credential = credential
        nonce.nc = pulse.nc
        record.nonce = nonce
        return 0


cdef bint is_blank(const Entry* entry) noexcept nogil:
    """Nothing was ever written there."""
    return entry.settled.check == 0 and entry.pulses[0].check == 0 and entry.pulses[1].check == 0
