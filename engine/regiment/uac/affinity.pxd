# What a registrar said of routes and identities with the binding that stands.
from regiment.sip.scanner cimport Message
from regiment.uac.annex cimport Annex

# Takes Service-Route, Path and P-Associated-URI of a 2xx in the place of what was kept.
cdef void take_affinity(Annex** annexes, const char* data, const Message* message) noexcept nogil
# The same as ((Service-Route, …), (Path, …), (P-Associated-URI, …)).
cdef tuple affinity_lists(const Annex* annexes)
