"""What hangs off a record only where there is something to keep. For compiled callers alone."""
