# cython: boundscheck=False, wraparound=False
"""What one REGISTER does to the bindings of its AOR: RFC 3261 section 10.3, steps 6 and 7.

The request is judged as a whole before anything is touched, because its updates "MUST be committed
if and only if all binding updates and additions succeed". Where the RFC leaves a choice:

* A Contact without a readable expires takes the Expires header's, and without that the default.
* Two Contacts of one request that are the same URI: 400, for their order would decide.
* URI equality is not transitive (a parameter that one lacks is ignored), so two Contacts that
  differ may both equal one binding: the first has it, the second is new.
* Where RFC 5626 is done, a Contact with instance-id and reg-id meets the binding of that pair,
  whatever its URI, and one without them only bindings without them. Such a request adds or
  refreshes nothing else (400 otherwise, section 6 of that RFC).
* A request of the same Call-ID whose CSeq is not higher "fails": 500, except when it is the very
  transaction that made the binding, which is a retransmission and changes nothing.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcmp, memset

from regiment.registrar.counts cimport CHANGE_REMOVED
from regiment.registrar.location cimport NO_AOR, Binding, Location
from regiment.registrar.outbound cimport flow_key
from regiment.sip.comparison cimport uri_equal
from regiment.sip.field cimport Span, equals_folded, is_blank, next_parameter
from regiment.sip.response cimport ContactCursor, ContactValue, next_contact
from regiment.sip.scanner cimport H_CONTACT, Message

cdef enum:
    ONE_HOUR = 3600              # only less than this may be too brief


cdef int judge(Location location, const char* data, const Message* message,
               const Limits* limits, Update* update) noexcept nogil:
    cdef ContactCursor cursor
    cdef ContactValue contact
    cdef Change* change
    cdef int got, removals = 0, kept = 0, flows = 0, status
    cdef uint32_t held = 0 if update.aor == NO_AOR else location.aors[update.aor].bindings
    memset(&cursor, 0, sizeof(ContactCursor))
    update.count = 0
    update.additions = 0
    update.star = 0
    while True:
        got = next_contact(data, message, &cursor, &contact)
        if got == 0:
            break
        if got < 0 or update.star or update.count == MAX_CHANGES:
            return 400
        if contact.is_star:
            if update.count:
                return 400
            update.star = 1
            continue
        change = &update.changes[update.count]
        change.uri = contact.uri
        status = _judge_contact(location, data, message, limits, update, change, &contact, &cursor)
        if status != 200:
            return status
        update.count += 1
        kept += change.granted > 0
        flows += change.granted > 0 and change.flow_key != 0
        if change.granted and change.binding == NULL:
            update.additions += 1
        elif change.granted == 0 and change.binding != NULL:
            removals += 1
    if update.star:
        return _judge_star(location, message, update)
    if flows and kept > 1:
        return 400
    # What was held and what is new; a request may make room for itself.
    if update.additions and held + update.additions - removals > limits.max_contacts:
        return 403
    return 200


cdef int _judge_star(Location location, const Message* message, Update* update) noexcept nogil:
    # Step 6: alone, and with an Expires of 0.
    cdef Binding* binding
    if message.expires != 0:
        return 400
    if update.aor == NO_AOR:
        return 200
    binding = location.aors[update.aor].first
    while binding != NULL:
        if _is_out_of_order(binding, update):
            return 500
        binding = binding.next
    return 200


cdef int _judge_contact(Location location, const char* data, const Message* message,
                        const Limits* limits, Update* update, Change* change,
                        const ContactValue* contact, const ContactCursor* cursor) noexcept nogil:
    # Step 7 for one contact address, up to the point where something would change.
    cdef int64_t requested = contact.expires
    cdef int i
    if not _is_clean_uri(data, contact.uri):
        return 400
    if not _take_parameters(data, contact.uri, cursor, &change.parameters):
        return 400
    change.flow_key = 0
    if update.outbound:
        change.flow_key = flow_key(update.flow_hash, data, change.parameters)
    for i in range(update.count):
        if update.changes[i].flow_key == change.flow_key and _is_same(
                data, update.changes[i].uri, contact.uri):
            return 400
    if requested < 0:
        requested = message.expires
    if requested < 0:
        requested = limits.default_expires
    if 0 < requested < ONE_HOUR and requested < limits.min_expires:
        return 423
    change.granted = min(requested, limits.max_expires)
    change.binding = NULL
    if update.aor != NO_AOR:
        change.binding = location.binding(
            update.aor, data + contact.uri.start, contact.uri.length, change.flow_key)
    for i in range(update.count):
        if change.binding != NULL and update.changes[i].binding == change.binding:
            change.binding = NULL
    if change.binding != NULL and _is_out_of_order(change.binding, update):
        return 500
    return 200


cdef inline bint _is_out_of_order(const Binding* binding, const Update* update) noexcept nogil:
    return (binding.call_id == update.call_id and update.cseq <= binding.cseq
            and binding.transaction != update.transaction)


cdef inline bint _is_same(const char* data, Span a, Span b) noexcept nogil:
    if a.length == b.length and memcmp(data + a.start, data + b.start, a.length) == 0:
        return 1
    return uri_equal(data + a.start, a.length, data + b.start, b.length)


cdef bint _is_clean_uri(const char* data, Span uri) noexcept nogil:
    # It comes back between angle brackets: nothing may end them or the line.
    cdef uint32_t i
    cdef char c
    if uri.length == 0 or uri.length > MAX_URI_BYTES:
        return 0
    for i in range(uri.start, uri.start + uri.length):
        c = data[i]
        if <uint8_t>c <= 0x20 or c == 0x7f or c == c"<" or c == c">" or c == c'"':
            return 0
    return 1


cdef bint _take_parameters(const char* data, Span uri, const ContactCursor* cursor,
                           Span* parameters) noexcept nogil:
    # From behind the URI (and its bracket) to the end of this Contact value.
    cdef uint32_t start = uri.start + uri.length, i
    cdef uint8_t c
    while start < cursor.position and data[start] != c";":
        start += 1
    parameters.start = start
    parameters.length = cursor.position - start
    if parameters.length > MAX_PARAMETERS_BYTES:
        return 0
    for i in range(start, cursor.position):
        c = <uint8_t>data[i]
        if (c < 0x20 and not is_blank(data[i])) or c == 0x7f:
            return 0
    return 1


cdef uint32_t _copy_parameters(const char* data, Span parameters, char* out) noexcept nogil:
    # Each as it was sent, folding taken out, expires left out: ours is written instead.
    cdef uint32_t at = parameters.start, end = parameters.start + parameters.length
    cdef uint32_t written = 0, i
    cdef Span name, value
    while next_parameter(data, &at, end, &name, &value):
        if name.length == 0 or equals_folded(data, name, b"expires", 7):
            continue
        out[written] = c";"
        written += 1
        for i in range(name.start, at):
            out[written] = c" " if is_blank(data[i]) else data[i]
            written += 1
    return written


cdef int carry_out(Location location, const char* data, Update* update,
                   int64_t now_ns) noexcept nogil:
    cdef Binding* binding
    cdef Binding* after
    cdef Change* change
    cdef char[MAX_PARAMETERS_BYTES] parameters
    cdef uint32_t length
    cdef int i
    if update.aor == NO_AOR:
        return 200
    if update.star:
        binding = location.aors[update.aor].first
        while binding != NULL:
            after = binding.next
            location.remove(update.aor, binding, CHANGE_REMOVED)
            binding = after
        return 200
    for i in range(update.count):
        change = &update.changes[i]
        if change.granted == 0:
            if change.binding != NULL:
                location.remove(update.aor, change.binding, CHANGE_REMOVED)
            continue
        length = _copy_parameters(data, change.parameters, parameters)
        binding = location.put(update.aor, change.binding, data + change.uri.start,
                               change.uri.length, parameters, length)
        if binding == NULL:
            return 500
        binding.expires_ns = now_ns + change.granted * 1_000_000_000
        binding.call_id = update.call_id
        binding.cseq = update.cseq
        binding.transaction = update.transaction
        binding.nonce = update.nonce
        binding.nc = update.nc
        binding.flow_key = change.flow_key
    return 200


cdef bint is_removal(const char* data, const Message* message) noexcept nogil:
    cdef ContactCursor cursor
    cdef ContactValue contact
    if message.count[H_CONTACT] == 0:
        return 0
    memset(&cursor, 0, sizeof(ContactCursor))
    if next_contact(data, message, &cursor, &contact) <= 0:
        return 0
    return contact.expires == 0 or (contact.expires < 0 and message.expires == 0)
