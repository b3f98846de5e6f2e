"""Who may be sent where, and what waits until it may."""

from typing_extensions import disjoint_base

from regiment.uac.notice import Notices

@disjoint_base
class Passages(Notices):
    """Targets, their addresses, and the rings of what is to be sent to them."""
