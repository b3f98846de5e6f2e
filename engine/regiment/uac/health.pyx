"""What is known of one address, from what it answers and for how long it does not.

An address that never answered gets few transactions, and twice as many with each answer: a dead one
costs eight, a living one is at full speed after some answers. It is *suspect* once several
transactions have waited for it and nothing came from it for two seconds. Then its transactions move
on to another address, and now and then one tries it again, after waits that double.
"""

from libc.string cimport memset

SILENT_NS = 2_000_000_000
FOURTH_NS = 500_000_000
cdef int64_t PROBE_FIRST_NS = 5_000_000_000
cdef int64_t PROBE_MOST_NS = 60_000_000_000
cdef uint32_t END = 0xFFFFFFFF


cdef void address_init(Address* address, bint is_watched) noexcept nogil:
    memset(address, 0, sizeof(Address))
    address.parked.first = address.parked.last = END
    address.window = WINDOW_FIRST if is_watched else 0


cdef bint has_room(const Address* address) noexcept nogil:
    return address.window == 0 or address.outstanding < address.window


cdef void address_occupy(Address* address, int64_t now_ns) noexcept nogil:
    address.outstanding += 1
    if address.silent_ns == 0:
        address.silent_ns = now_ns
    if address.outstanding >= SILENT_COUNT and address.fourth_ns == 0:
        address.fourth_ns = now_ns


cdef void address_vacate(Address* address) noexcept nogil:
    if address.outstanding:
        address.outstanding -= 1
    if address.outstanding < SILENT_COUNT:
        address.fourth_ns = 0
    if address.outstanding == 0:
        address.silent_ns = 0


cdef bint address_heard(Address* address, int64_t now_ns) noexcept nogil:
    address.silent_ns = now_ns
    if address.fourth_ns:
        address.fourth_ns = now_ns
    if address.probe_ns:
        address.probe_ns = address.probe_wait_ns = 0
        address.window = WINDOW_FIRST
        return True
    if address.window == 0:
        return False
    address.window *= 2
    if address.window > <uint32_t>WINDOW_MOST:
        address.window = 0
    return True


cdef int64_t verdict_ns(const Address* address) noexcept nogil:
    if address.outstanding == 0 or address.silent_ns == 0:
        return 0
    if address.probe_ns:
        return address.silent_ns + SILENT_NS
    if address.fourth_ns == 0:
        return 0
    return max(address.silent_ns + SILENT_NS, address.fourth_ns + FOURTH_NS)


cdef bint is_given_up(const Address* address, int64_t now_ns) noexcept nogil:
    return address.probe_ns != 0 and address.silent_ns + SILENT_NS <= now_ns


cdef void address_suspect(Address* address, int64_t now_ns, double jitter) noexcept nogil:
    if address.probe_wait_ns == 0:
        address.probe_wait_ns = PROBE_FIRST_NS
    else:
        address.probe_wait_ns = min(2 * address.probe_wait_ns, PROBE_MOST_NS)
    address.probe_ns = now_ns + <int64_t>(address.probe_wait_ns * (0.75 + 0.5 * jitter))
    address.window = WINDOW_FIRST


cdef void address_probe(Address* address, int64_t now_ns) noexcept nogil:
    # until the verdict on this one nobody else may
    address.probe_ns = now_ns + PROBE_MOST_NS


SILENT_S = SILENT_NS / 1e9


def after(events, is_watched=True):
    """For tests: see health.pyi."""
    cdef Address address
    cdef int64_t at_ns
    found = []
    address_init(&address, is_watched)
    for event, at_ns in events:
        if event == "occupy":
            address_occupy(&address, at_ns)
        elif event == "vacate":
            address_vacate(&address)
        elif event == "heard":
            address_heard(&address, at_ns)
        elif event == "suspect":
            address_suspect(&address, at_ns, 0.5)
        elif event == "probe":
            address_probe(&address, at_ns)
        else:
            raise ValueError(event)
        found.append((address.outstanding, address.window, verdict_ns(&address),
                      address.probe_ns != 0))
    return found
