"""The life of an attempt: started, sent, answered or not, judged, planned anew."""

from regiment.uac.registration import Population

class Attempts(Population):
    """Records, timers and queues, and what moves a registration from one state to the next."""
