"""The branch parameter that we mint: see branch.pyi and branch.pxd."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef enum:
    MAGIC_BYTES = 7
    NO_DIGIT = 0x10                # in NIBBLES: no hexadecimal digit

cdef const char* MAGIC = b"z9hG4bK"
cdef char[512] PAIRS               # the two digits of every byte
cdef uint8_t[256] NIBBLES          # the value of every digit


def _fill_tables():
    cdef int code
    cdef bytes pairs = b"".join(b"%02x" % number for number in range(256))
    memcpy(PAIRS, <const char*>pairs, sizeof(PAIRS))
    for code in range(256):
        NIBBLES[code] = NO_DIGIT
    for digit in "0123456789abcdefABCDEF":
        NIBBLES[<int>ord(digit)] = <uint8_t>int(digit, 16)


_fill_tables()


cdef inline void write_digits(char* out, uint64_t number, int digits) noexcept nogil:
    while digits:
        digits -= 2
        memcpy(out + digits, PAIRS + 2 * (number & 0xff), 2)
        number >>= 8


cdef inline bint read_digits(const char* data, int digits, uint64_t* number) noexcept nogil:
    cdef uint8_t all_bits = 0, nibble
    cdef int i
    number[0] = 0
    for i in range(digits):
        nibble = NIBBLES[<uint8_t>data[i]]
        all_bits |= nibble
        number[0] = (number[0] << 4) | nibble
    return not all_bits & NO_DIGIT


cdef void write_branch(char* out, uint32_t slot, uint32_t generation,
                       uint64_t salt) noexcept nogil:
    memcpy(out, MAGIC, MAGIC_BYTES)
    write_digits(out + 7, slot, 8)
    write_digits(out + 15, generation, 8)
    write_digits(out + 23, salt, 16)


cdef bint read_branch(const char* data, uint32_t length,
                      uint32_t* slot, uint32_t* generation, uint64_t* salt) noexcept nogil:
    cdef uint64_t slot_number, generation_number, salt_number
    if length != BRANCH_BYTES or memcmp(data, MAGIC, MAGIC_BYTES) != 0:
        return False
    if not (read_digits(data + 7, 8, &slot_number)
            and read_digits(data + 15, 8, &generation_number)
            and read_digits(data + 23, 16, &salt_number)):
        return False
    slot[0] = <uint32_t>slot_number
    generation[0] = <uint32_t>generation_number
    salt[0] = salt_number
    return True


def mint_branch(uint32_t slot, uint32_t generation, uint64_t salt):
    cdef char[BRANCH_BYTES] text
    write_branch(text, slot, generation, salt)
    return <bytes>text[:BRANCH_BYTES]


def parse_branch(bytes data not None):
    cdef uint32_t slot, generation
    cdef uint64_t salt
    if not read_branch(data, <uint32_t>min(len(data), BRANCH_BYTES + 1),
                       &slot, &generation, &salt):
        return None
    return slot, generation, salt
