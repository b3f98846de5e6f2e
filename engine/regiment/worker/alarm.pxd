# A timer of the kernel as a file descriptor (timerfd), for one loop to wait on.
from libc.stdint cimport int64_t

cdef class Alarm:
    cdef readonly int fd
    cdef int64_t armed_ns         # the moment asked for; -1: none
