# The registrar's core. Its Python face, in engine.pyi, is all that others use.
cimport cython
from libc.stdint cimport int64_t
from regiment.registrar.procedure cimport Procedure


@cython.final
cdef class Engine:
    cdef object settings
    cdef object seed
    cdef Procedure procedure
    cdef int64_t wall_offset_ns  # wall clock - monotonic; 0: unknown, so no Date
    cdef int64_t date_s          # what procedure.date tells
