"""Flows as RFC 5626 has them: the form of a REGISTER that asks for one, and what follows from it.

With `outbound=full` a REGISTER names the device that it comes from and a number for its way
(`+sip.instance`, `reg-id`), so that a registrar binds the connection and not only the URI. An edge
that cannot do that says 439: then the attempt goes on at once in the plain form, and the refusal is
remembered for an hour. A record in the plain form has the flag PLAIN and an annex that says until
when, so that those without any of this take no room for it.

The instance is a UUID of version 5 over the AOR and the name, in the namespace of URLs: the same
after every restart and on every host, and nothing has to be kept for it.
"""

from hashlib import sha1

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from regiment.sip.digest cimport write_hex
from regiment.sip.field cimport Span, equals_folded, next_listed, next_parameter, read_number
from regiment.sip.response cimport ContactCursor, ContactValue, next_contact
from regiment.sip.scanner cimport H_FLOW_TIMER, H_REQUIRE, SCAN_OK, next_header, scan
from regiment.uac.annex cimport ANNEX_REFUSAL, Annex, annex_find, annex_put, annexes_free
from regiment.uac.flow cimport Flow
from regiment.uac.grant cimport GRANT_CAP_S
from regiment.uac.policy cimport C_NO_ADDRESS, C_TIMEOUT, C_TRANSPORT, K_UNREGISTER
from regiment.uac.registration cimport PLAIN

cdef int64_t NS_PER_S = 1_000_000_000
cdef int64_t REFUSED_NS = 3600 * NS_PER_S
# RFC 5626 section 4.5
cdef int64_t BASE_S = 30               # no flow of the registration stands
cdef int64_t BASE_OF_MANY_S = 90
cdef int64_t MOST_S = 1800

cdef enum:
    FLOW_TIMER_MOST_S = 86400
    URN_BYTES = 11                     # "<urn:uuid:" and ">"

cdef bytes NAMESPACE_URL = bytes.fromhex("6ba7b8119dad11d180b400c04fd430c8")


cdef int instance_into(char* out, bytes aor, bytes name) except -1:
    """36 characters: RFC 4122 section 4.3 over "AOR name". Some 1 µs."""
    cdef bytes digest = sha1(
        NAMESPACE_URL + aor + b" " + name, usedforsecurity=False).digest()
    cdef uint8_t raw[16]
    memcpy(raw, PyBytes_AS_STRING(digest), 16)
    raw[6] = (raw[6] & 0x0F) | 0x50
    raw[8] = (raw[8] & 0x3F) | 0x80
    write_hex(out, raw, 4)
    write_hex(out + 9, raw + 4, 2)
    write_hex(out + 14, raw + 6, 2)
    write_hex(out + 19, raw + 8, 2)
    write_hex(out + 24, raw + 10, 6)
    out[8] = out[13] = out[18] = out[23] = c'-'
    return 0


cdef bint is_flow(const char* data, uint32_t start, uint32_t end, const char* instance,
                  uint32_t reg_id) noexcept nogil:
    """Whether a Contact's parameters are those of that flow."""
    cdef Span name, value, uuid
    cdef bint is_ours = False
    cdef int64_t number = 0
    cdef uint32_t at = start
    while next_parameter(data, &at, end, &name, &value):
        if equals_folded(data, name, b"reg-id", 6):
            number = read_number(data, value)
        elif equals_folded(data, name, b"+sip.instance", 13) and (
                value.length == INSTANCE_BYTES + URN_BYTES):
            uuid.start, uuid.length = value.start + URN_BYTES - 1, INSTANCE_BYTES
            is_ours = equals_folded(data, uuid, instance, INSTANCE_BYTES)
    return is_ours and number == reg_id


cdef int64_t flow_granted_s(const char* data, const Message* message, const char* instance,
                            uint32_t reg_id) noexcept nogil:
    """The `expires` of that flow's Contact; -1: there is none, or it says nothing."""
    cdef ContactCursor cursor
    cdef ContactValue value
    cursor.line = cursor.position = cursor.seen = 0
    cursor.value.start = cursor.value.length = 0
    while next_contact(data, message, &cursor, &value) > 0:
        if is_flow(data, value.uri.start + value.uri.length, cursor.position, instance, reg_id):
            return value.expires
    return -1


cdef uint32_t flow_timer_s(const char* data, const Message* message) noexcept nogil:
    """Seconds of the Flow-Timer of a 2xx that has taken the flow; 0: it says none."""
    cdef Span line, tag
    cdef uint32_t cursor = 0, at
    cdef int64_t seconds
    if message.count[H_FLOW_TIMER] == 0:
        return 0
    while next_header(data, message, H_REQUIRE, &cursor, &line):
        at = line.start
        while next_listed(data, &at, line.start + line.length, &tag):
            if equals_folded(data, tag, b"outbound", 8):
                seconds = read_number(data, message.first[H_FLOW_TIMER])
                return <uint32_t>min(max(seconds, <int64_t>0), <int64_t>FLOW_TIMER_MOST_S)
    return 0


cdef class Outbound(Flows):
    """What the attempts ask about flows. See outbound.pyi."""

    def flow_timers(self):
        timers = self.timers
        self.timers = []
        return timers

    # ------------------------------------------------------------------ the form

    cdef int take_form(self, Record* record, int64_t now_ns) except -1:
        cdef const Annex* refusal
        cdef int64_t until_ns = 0
        if not record.flags & PLAIN or record.kind == K_UNREGISTER:
            return 0                 # an un-REGISTER has the form of what it is to remove
        refusal = annex_find(record.annexes, ANNEX_REFUSAL)
        if refusal != NULL:
            memcpy(&until_ns, &refusal.data[0], sizeof(int64_t))
        if until_ns <= now_ns:
            self.forget_refusal(record)
        return 0

    cdef bint fall_back(self, Record* record, PolicyState policy, int64_t now_ns) except -1:
        cdef int64_t until_ns = now_ns + REFUSED_NS
        if not policy.forms_flows or record.flags & PLAIN:
            return False
        record.flags |= PLAIN
        annex_put(&record.annexes, ANNEX_REFUSAL, <const char*>&until_ns, sizeof(int64_t))
        return True

    cdef int forget_refusal(self, Record* record) except -1:
        record.flags &= ~PLAIN
        annex_put(&record.annexes, ANNEX_REFUSAL, NULL, 0)
        return 0

    cdef int forget_answers(self, Record* record) except -1:
        cdef const Annex* refusal = annex_find(record.annexes, ANNEX_REFUSAL)
        cdef int64_t until_ns = 0
        if refusal != NULL:
            memcpy(&until_ns, &refusal.data[0], sizeof(int64_t))
        annexes_free(&record.annexes)
        if until_ns:
            annex_put(&record.annexes, ANNEX_REFUSAL, <const char*>&until_ns, sizeof(int64_t))
        return 0

    cdef int lay_flow(self, const Record* record, Fill* fill, char* instance) except -1:
        cdef const char* name = record.text + record.client_uri_length + record.user_length
        if record.flags & PLAIN:
            return 0
        instance_into(instance, record.text[:record.client_uri_length],
                      (name + record.contact_length)[:record.name_length])
        fill.instance.data, fill.instance.length = instance, INSTANCE_BYTES
        fill.reg_id = 1
        return 0

    # ------------------------------------------------------------------ what is answered

    cdef int64_t take_grant(self, const Record* record, const char* data, const Message* message,
                            int64_t granted) except -2:
        cdef char instance[INSTANCE_BYTES]
        cdef Flow flow = self.flow_at(record.flow)
        cdef Fill fill
        cdef int64_t ours
        cdef uint32_t seconds
        if record.flags & PLAIN:
            return granted
        if flow is not None:             # over UDP a Flow-Timer is about STUN
            seconds = flow_timer_s(data, message)
            if seconds and seconds != flow.timer_s:
                flow.timer_s = seconds
                self.timers.append((flow.number, seconds))
        self.lay_flow(record, &fill, instance)
        ours = flow_granted_s(data, message, instance, fill.reg_id)
        return min(ours, <int64_t>GRANT_CAP_S) if ours > 0 else granted

    # ------------------------------------------------------------------ what has failed

    cdef int64_t recovery_ns(self, const Record* record, const Result* result,
                             int64_t wait_ns) except -1:
        cdef int64_t most_s
        if result.cause not in (C_TIMEOUT, C_TRANSPORT, C_NO_ADDRESS) or record.flags & PLAIN:
            return wait_ns
        most_s = BASE_OF_MANY_S if self.stands_otherwise(record) else BASE_S
        most_s = min(most_s << min(max(record.retries, <uint32_t>1), <uint32_t>6), MOST_S)
        return max(wait_ns, <int64_t>(most_s * NS_PER_S * (0.5 + 0.5 * self.uniform())))

    cdef bint stands_otherwise(self, const Record* record) noexcept:
        """Whether another flow of the same registration stands."""
        return False


# ------------------------------------------------------------------ for tests


def instance_of(client_uri, name):
    cdef char out[INSTANCE_BYTES]
    instance_into(out, client_uri.encode(), name.encode())
    return (<bytes>out[:INSTANCE_BYTES]).decode("ascii")


def read_grant(bytes message not None, bytes instance not None, uint32_t reg_id):
    cdef Message scanned
    if len(instance) != INSTANCE_BYTES:
        raise ValueError("an instance has 36 characters")
    if scan(message, <uint32_t>len(message), &scanned) != SCAN_OK:
        return None
    return (flow_granted_s(message, &scanned, instance, reg_id),
            flow_timer_s(message, &scanned))
