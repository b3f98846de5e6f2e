"""Which registration a `line` belongs to.

A registration with `line=yes` sends seven letters of its own in its Contact, and a registrar gives
them back in the requests that it sends there. Finding the registration costs one probe or a few,
whatever their number, and takes no look at the records themselves.

Seven letters are 33 bits: among 300,000 registrations some five pairs would have the same ones. So
whoever comes second gets other letters, which follow from those that were taken. They stay, as long
as both are loaded in the same order.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from regiment.errors import LocalError

cdef enum:
    SLOT_BITS = 31
    FIRST_PLACES = 64

cdef uint64_t NO_LINE = 0xFFFFFFFFFFFFFFFF
cdef uint64_t LINES = 26 ** 7
cdef uint64_t SLOT_MASK = (1 << 31) - 1


cdef uint64_t number_of(const char* text, uint32_t length) noexcept nogil:
    """The line as a number; NO_LINE: it is none."""
    cdef uint64_t number = 0
    cdef int at
    if length != <uint32_t>LINE_LETTERS:
        return NO_LINE
    for at in range(LINE_LETTERS):
        if not c'a' <= text[at] <= c'z':
            return NO_LINE
        number = number * 26 + <uint64_t>(text[at] - c'a')
    return number


cdef void write_number(char* line, uint64_t number) noexcept nogil:
    cdef int at
    for at in range(LINE_LETTERS - 1, -1, -1):
        line[at] = <char>(c'a' + number % 26)
        number //= 26


cdef inline uint64_t line_after(uint64_t number) noexcept nogil:
    """Another line: a step of a generator that comes to all of them."""
    return (number * 1_679_445 + 2_654_435_769ULL) % LINES


cdef class Lines:
    """See lines.pyi and lines.pxd."""

    def __dealloc__(self):
        free(self.places)

    def __len__(self):
        return self.count

    cdef uint32_t _place(self, uint64_t number) noexcept nogil:
        """Where a line stands, or the free place where it would."""
        cdef uint32_t at = <uint32_t>((number * 0x9E3779B97F4A7C15ULL) >> 32) & self.mask
        while self.places[at] and self.places[at] >> SLOT_BITS != number:
            at = (at + 1) & self.mask
        return at

    cdef int64_t find(self, const char* text, uint32_t length) noexcept nogil:
        cdef uint64_t number = number_of(text, length)
        if number == NO_LINE or self.places == NULL:
            return -1
        return <int64_t>(self.places[self._place(number)] & SLOT_MASK) - 1

    cdef int add(self, char* line, uint32_t slot) except -1:
        cdef uint64_t number = number_of(line, LINE_LETTERS)
        cdef uint32_t at
        if number == NO_LINE or slot + 1 > SLOT_MASK:
            raise LocalError("a line is seven letters of a slot below 2**31 - 1")
        if self.places == NULL or (self.count + 1) * 4 > (self.mask + 1) * 3:
            self._grow()
        at = self._place(number)
        while self.places[at]:
            if (self.places[at] & SLOT_MASK) == slot + 1:
                return 0
            number = line_after(number)
            at = self._place(number)
        write_number(line, number)
        self.places[at] = number << SLOT_BITS | (slot + 1)
        self.count += 1
        return 0

    cdef int _grow(self) except -1:
        cdef uint32_t size = 2 * (self.mask + 1) if self.places != NULL else FIRST_PLACES
        cdef uint32_t old_size = self.mask + 1 if self.places != NULL else 0
        cdef uint64_t* old = self.places
        cdef uint32_t at
        cdef uint64_t* places = <uint64_t*>calloc(size, sizeof(uint64_t))
        if places == NULL:
            raise MemoryError
        self.places, self.mask = places, size - 1
        for at in range(old_size):
            if old[at]:
                places[self._place(old[at] >> SLOT_BITS)] = old[at]
        free(old)
        return 0

    cdef bint remove(self, const char* line, uint32_t slot) noexcept nogil:
        cdef uint64_t number = number_of(line, LINE_LETTERS)
        cdef uint32_t hole, at, home
        if number == NO_LINE or self.places == NULL:
            return False
        hole = self._place(number)
        if (self.places[hole] & SLOT_MASK) != slot + 1:
            return False
        # what follows without a gap moves up, unless it stands at its own place or behind it
        at = hole
        while True:
            at = (at + 1) & self.mask
            if self.places[at] == 0:
                break
            home = <uint32_t>(
                ((self.places[at] >> SLOT_BITS) * 0x9E3779B97F4A7C15ULL) >> 32) & self.mask
            if ((at - home) & self.mask) >= ((at - hole) & self.mask):
                self.places[hole] = self.places[at]
                hole = at
        self.places[hole] = 0
        self.count -= 1
        return True

    # ------------------------------------------------------------------ for tests

    def slot_of(self, bytes text not None):
        cdef int64_t slot = self.find(text, <uint32_t>len(text))
        return None if slot < 0 else slot

    def put(self, bytes line not None, slot):
        cdef bytearray letters = bytearray(line)
        if len(letters) != LINE_LETTERS:
            raise LocalError("a line is seven letters of a slot below 2**31 - 1")
        self.add(<char*>letters, slot)
        return bytes(letters)

    def drop(self, bytes line not None, slot):
        return len(line) == LINE_LETTERS and self.remove(line, slot)
