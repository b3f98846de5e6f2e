"""The non-INVITE client transaction of RFC 3261 section 17.1.2, Figure 6.

```
                 |Request from TU: send request, arm E and F
                 V
        E/send  +---------+  F or transport error: inform TU
         +----->| Trying  |--------------------------------------+
         +------|         |                                      |
                +---------+                                      |
          1xx/pass |   | 200-699/pass                            |
                   V   +----------------+                        |
        E/send  +------------+          |                        |
       1xx/pass |            |  F or transport error: inform TU  |
         +----->| Proceeding |--------------------------------------+
         +------|            |          |                        |
                +------------+          |                        |
                200-699/pass |          |                        |
                             V          V                        V
                        +-----------+   K    +------------+
                        | Completed |------->| Terminated |
                        +-----------+        +------------+
```

The registration record holds the state: RFC 3261 10.2 allows one REGISTER at a time, so there is
no table of transactions. Timer K needs no timer either: each transaction has a generation of its
own in its branch, so a late copy of a final response is recognised (and counted) whatever the
record does by then.
"""


cdef int transaction_advance(int state, int event, bint reliable, int* actions) noexcept nogil:
    actions[0] = DO_NOTHING
    if event == TX_REQUEST:
        if state == TX_IDLE or state == TX_COMPLETED or state == TX_TERMINATED:
            actions[0] = DO_SEND | DO_ARM_F | (DO_NOTHING if reliable else DO_ARM_E)
            return TX_TRYING
        return state
    if state == TX_TRYING or state == TX_PROCEEDING:
        if event == TX_TIMER_E:
            if not reliable:
                actions[0] = DO_SEND | DO_ARM_E
            return state
        if event == TX_1XX:
            actions[0] = DO_PASS
            return TX_PROCEEDING
        if event == TX_FINAL:
            if reliable:                  # Timer K is zero seconds
                actions[0] = DO_PASS
                return TX_TERMINATED
            actions[0] = DO_PASS | DO_ARM_K
            return TX_COMPLETED
        if event == TX_TIMER_F:
            actions[0] = DO_TIMEOUT
            return TX_TERMINATED
        if event == TX_TRANSPORT_ERROR:
            actions[0] = DO_ERROR
            return TX_TERMINATED
        return state
    if state == TX_COMPLETED and event == TX_TIMER_K:
        return TX_TERMINATED
    return state


cdef uint32_t next_timer_e_ms(int state, uint32_t timer_e_ms) noexcept nogil:
    if state == TX_PROCEEDING or timer_e_ms >= T2_MS // 2:
        return T2_MS
    return 2 * timer_e_ms


STATES = ("idle", "trying", "proceeding", "completed", "terminated")
EVENTS = ("request", "timer_e", "timer_f", "timer_k", "1xx", "final", "transport_error")
_ACTIONS = ("send", "arm_e", "arm_f", "arm_k", "pass", "timeout", "error")


def advance(state, event, reliable=False):
    """One step of the machine, by names, for tests: ``(new state, actions)``."""
    cdef int actions = 0
    cdef int new = transaction_advance(
        STATES.index(state), EVENTS.index(event), reliable, &actions)
    return STATES[new], tuple(
        name for bit, name in enumerate(_ACTIONS) if actions >> bit & 1)


def timer_e_after(state, timer_e_ms):
    """The interval of Timer E that follows one of `timer_e_ms` in `state` (RFC 3261 17.1.2.2)."""
    return next_timer_e_ms(STATES.index(state), timer_e_ms)
