"""What hangs off a record only where there is something to keep: see annex.pxd.

Most registrars send neither Service-Route nor Security-Server, so a record spends one pointer on
both. A refresh usually brings what the one before it brought: then nothing is allocated.
"""

from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy


cdef const Annex* annex_find(const Annex* head, int kind) noexcept nogil:
    while head != NULL and head.kind != <uint32_t>kind:
        head = head.next
    return head


cdef void annex_put(Annex** head, int kind, const char* data, uint32_t length) noexcept nogil:
    cdef Annex** link = head
    cdef Annex* old
    cdef Annex* new
    while link[0] != NULL and link[0].kind != <uint32_t>kind:
        link = &link[0].next
    old = link[0]
    if old != NULL:
        if old.length == length and memcmp(old.data, data, length) == 0:
            return
        link[0] = old.next
        free(old)
    if length == 0:
        return
    new = <Annex*>malloc(sizeof(Annex) + length)
    if new == NULL:
        return
    new.next, new.kind, new.length = head[0], <uint32_t>kind, length
    memcpy(new.data, data, length)
    head[0] = new


cdef void annexes_free(Annex** head) noexcept nogil:
    cdef Annex* next
    while head[0] != NULL:
        next = head[0].next
        free(head[0])
        head[0] = next
