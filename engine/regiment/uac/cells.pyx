"""The scoreboard cells that this core writes, looked up once: counting costs an addition."""

from regiment import model
from regiment.metrics import catalogue


cdef class Cells:
    """Pointers into one scoreboard."""

    def __init__(self, Scoreboard board):
        cdef int at
        self.board = board
        for at in range(ROWS):
            self._take_row(at)
        for at in range(GROUP_ROWS):
            self.groups[at] = board.cell("regiment_group_registrations", (model.STATES[0],), at)
        self.groups[<int>NO_GROUP] = self.ungrouped
        for at, state in enumerate(model.STATES):
            self.transitions[at] = board.cell(
                "regiment_registration_transitions_total", (state, model.STATES[0]))
        for at, kind in enumerate(catalogue.REGISTERING_KINDS):
            self.duration[at] = board.histogram("regiment_register_duration_seconds", (kind,))
            self.response[at] = board.histogram("regiment_register_response_seconds", (kind,))
        for at, code_class in enumerate(catalogue.CODE_CLASSES):
            self.transaction[at] = board.histogram(
                "regiment_transaction_duration_seconds", (code_class,))
        self.schedule_delay = board.histogram("regiment_schedule_delay_seconds", ())
        self._take_wire()
        self._take_rest()

    cdef int _take_row(self, int row) except -1:
        cdef int kind
        cdef Scoreboard board = self.board
        self.rows[row].states = board.cell("regiment_registrations", (model.STATES[0],), row)
        for kind in range(4):
            self.rows[row].attempts[kind] = board.cell(
                "regiment_register_attempts_total", (model.KINDS[kind], model.OUTCOMES[0]), row)
        self.rows[row].expiring = board.cell("regiment_registrations_expiring", ("10s",), row)
        self.rows[row].expired = board.cell("regiment_registration_expired_total", (), row)
        self.rows[row].icmp = board.cell("regiment_icmp_errors_total", (), row)
        return 0

    cdef int _take_wire(self) except -1:
        cdef int at
        cdef Scoreboard board = self.board
        for at, transport in enumerate(catalogue.TRANSPORTS):
            self.requests_sent[at] = board.cell(
                "regiment_sip_requests_total", ("sent", "REGISTER", transport))
        self.responses = board.cell("regiment_sip_responses_total", ("received", "REGISTER", "100"))
        self.retransmissions = board.cell("regiment_sip_retransmissions_total", ("REGISTER",))
        self.discarded = board.cell("regiment_sip_discarded_total", ("empty",))
        self.stray = board.cell("regiment_sip_discarded_total", ("stray",))
        self.branch_salt = board.cell("regiment_sip_discarded_total", ("branch_salt",))
        self.wrong_cseq = board.cell("regiment_sip_discarded_total", ("cseq",))
        self.retransmitted = board.cell("regiment_sip_discarded_total", ("retransmitted",))
        self.inbound_limit = board.cell("regiment_sip_discarded_total", ("inbound_limit",))
        for at in range(ENDPOINT_ROWS):
            self.inbound[at] = board.cell(
                "regiment_inbound_requests_total", (catalogue.METHODS[0],), at)
        for at, method in enumerate(catalogue.METHODS):
            self.requests_answered[at] = board.cell(
                "regiment_sip_requests_total", ("received", method, "udp"))
        for at, method in enumerate(catalogue.RESPONSE_METHODS):
            self.answered[at] = board.cell("regiment_sip_responses_total", ("sent", method, "100"))
        return 0

    cdef int _take_rest(self) except -1:
        cdef Scoreboard board = self.board
        self.challenges = board.cell("regiment_challenges_total", ("answered",))
        self.reuse_accepted = board.cell("regiment_nonce_reuse_total", ("accepted",))
        self.reuse_challenged = board.cell("regiment_nonce_reuse_total", ("challenged",))
        self.reuse_refused = board.cell("regiment_nonce_reuse_total", ("refused",))
        self.reuse_disabled = board.cell("regiment_nonce_reuse_disabled", ())
        self.gated = board.cell("regiment_target_gated", ())
        self.governor_refusals = board.cell("regiment_governor_refusals_total", ())
        self.min_expires_learned = board.cell("regiment_min_expires_learned_total", ())
        self.cseq_high = board.cell("regiment_cseq_high", ())
        return 0
