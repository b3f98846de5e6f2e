"""What a registrar said of routes and identities with the binding that stands."""

def affinity_after(*messages: bytes) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """For tests: Service-Route, Path and P-Associated-URI after these responses in a row."""
