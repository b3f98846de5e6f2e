# cython: boundscheck=False, wraparound=False
"""A timer of the kernel as a file descriptor, and the wish to die with one's parent."""

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset, strerror
from posix.unistd cimport close as close_fd
from posix.unistd cimport read

from regiment.errors import LocalError


cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    struct itimerspec:
        timespec it_interval
        timespec it_value
    enum:
        CLOCK_MONOTONIC


cdef extern from "<sys/timerfd.h>" nogil:
    enum:
        TFD_NONBLOCK
        TFD_CLOEXEC
        TFD_TIMER_ABSTIME
    int timerfd_create(int clock, int flags)
    int timerfd_settime(int fd, int flags, const itimerspec* new, itimerspec* old)


cdef extern from "<sys/prctl.h>" nogil:
    enum:
        PR_SET_PDEATHSIG
    int prctl(int option, unsigned long argument)


cdef extern from "<signal.h>" nogil:
    enum:
        SIGKILL


cdef class Alarm:
    def __cinit__(self):
        self.armed_ns = -1
        self.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
        if self.fd < 0:
            raise LocalError(f"no timer from the kernel: {strerror(errno).decode()}")

    def __dealloc__(self):
        if self.fd >= 0:
            close_fd(self.fd)

    def set(self, int64_t deadline_ns):
        cdef itimerspec spec
        if deadline_ns == self.armed_ns:
            return
        memset(&spec, 0, sizeof(spec))
        if deadline_ns >= 0:
            # All zero would disarm: a deadline at the clock's very beginning has passed anyhow.
            spec.it_value.tv_sec = deadline_ns // 1_000_000_000
            spec.it_value.tv_nsec = deadline_ns % 1_000_000_000
            if deadline_ns == 0:
                spec.it_value.tv_nsec = 1
        if timerfd_settime(self.fd, TFD_TIMER_ABSTIME, &spec, NULL) != 0:
            raise LocalError(f"the kernel's timer cannot be set: {strerror(errno).decode()}")
        self.armed_ns = deadline_ns if deadline_ns >= 0 else -1

    def acknowledge(self):
        cdef uint64_t expirations = 0
        cdef int64_t armed_ns = self.armed_ns
        if read(self.fd, &expirations, sizeof(expirations)) != sizeof(expirations):
            return -1
        self.armed_ns = -1
        return armed_ns

    def close(self):
        if self.fd >= 0:
            close_fd(self.fd)
            self.fd = -1


def die_with_parent():
    if prctl(PR_SET_PDEATHSIG, SIGKILL) != 0:
        raise LocalError(f"prctl: {strerror(errno).decode()}")
