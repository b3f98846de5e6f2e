"""The life of an attempt: started, sent, answered or not, judged, planned anew."""

from typing_extensions import disjoint_base

from regiment.uac.flow import Flows

@disjoint_base
class Attempts(Flows):
    """Records, timers and queues, and what moves a registration from one state to the next."""
