"""What a final result means: wait how long, give up, of which class."""

def verdict_of(
    *,
    code: int,
    cause: int = 0,
    retry_after_s: int = -1,
    retries: int = 0,
    retry_interval: int = 60,
    forbidden_retry_interval: int = 0,
    fatal_retry_interval: int = 0,
    max_retries: int = 10,
    auth_rejection_permanent: bool = True,
) -> tuple[int | None, bool, str, str]:
    """What follows a final result: ``(wait in s or None, counted, failure class, outcome)``.

    `cause`: 0 a response, 1 no answer, 2 transport error, 3 no address, 4 wrong address family,
    5 a 2xx that cannot be understood or that granted nothing.
    """

def refresh_window(
    granted_s: int,
    *,
    refresh_jitter: float = 10.0,
    timer_b_ms: int = 32000,
    retry_interval: int = 60,
) -> tuple[int, int]:
    """The earliest and latest moment of the refresh, in ns after the 2xx that granted it."""
