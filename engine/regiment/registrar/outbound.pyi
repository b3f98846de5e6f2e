"""See outbound.pyx: nothing of it is for Python."""
