"""The life of an attempt: started, sent, answered or not, judged, planned anew."""

from typing_extensions import disjoint_base

from regiment.uac.outbound import Outbound

@disjoint_base
class Attempts(Outbound):
    """Records, timers and queues, and what moves a registration from one state to the next."""
