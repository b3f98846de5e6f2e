# The branch that we mint: z9hG4bK + slot + generation + salt, so that a response names its
# registration by index and a stray or spoofed one is told at once.
from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    BRANCH_BYTES = 39        # 7 magic + 8 slot + 8 generation + 16 salt, lower-case hex

cdef void write_branch(char* out, uint32_t slot, uint32_t generation, uint64_t salt) noexcept nogil
# 1 and the three filled: a branch of our shape; 0: not
cdef bint read_branch(const char* data, uint32_t length,
                      uint32_t* slot, uint32_t* generation, uint64_t* salt) noexcept nogil
