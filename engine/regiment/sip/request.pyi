"""The REGISTER request, from a template that is compiled once per policy and transport.

Order and form of the headers are Asterisk's. The face for tests and tools: compiled callers use
``Template.build`` and ``Template.contact_into`` of ``request.pxd``, which write into given memory
without the GIL.
"""

from typing import Final, final

from regiment.model import Policy, Transport

ALLOW: Final[str]
"""The methods that a REGISTER names: what the binding takes."""

COMPACT_NAMES: Final[dict[str, str]]
"""Header -> its name when `compact_headers` is on."""

OWN_NAMES: Final[frozenset[str]]
"""Headers (lower case) that the headers component of a server_uri never adds."""

SECURE_PROTOCOLS: Final[tuple[str, ...]]
"""Transports over which a sips: server_uri makes a sips: Contact."""

MEDIASEC: Final[str]
"""Value of `security_negotiation`, and the option tag that goes along."""

@final
class Template:
    """A REGISTER with holes. `request_uri` is the Request-URI as sent, which is the digest URI."""

    def __init__(self, policy: Policy, transport: Transport, host: str, port: int) -> None:
        """Compile: about 30 µs.

        `host` and `port` are what Via and Contact publish (an external signalling address is
        already in them; IPv6 with or without brackets). The first of the outbound proxies decides
        between loose and strict routing (RFC 3261 section 12.2.1.1). Raises `sip.uri.UriError` for
        a server_uri or proxy that is no SIP URI.
        """

    @property
    def request_uri(self) -> bytes: ...

def forms_flows(policy: Policy) -> bool:
    """Whether its REGISTERs ask for flows (RFC 5626): `outbound` is ``full``, and its
    `contact_header_params` name neither an instance nor a reg-id of the user's own."""

def request_uri_of(policy: Policy) -> bytes:
    """The Request-URI of a policy's REGISTERs, which is the digest URI. Raises as `Template`."""

def build_register(
    template: Template,
    client_uri: bytes,
    *,
    contact_user: bytes = b"",
    contact: bytes = b"",
    line: bytes = b"",
    call_id: bytes = ...,
    cseq: int = 1,
    expires: int = 3600,
    from_tag: int = 0,
    slot: int = 0,
    generation: int = 0,
    salt: int = 0,
    credentials: bytes = b"",
    verify: bytes = b"",
    after_494: bool = False,
    reg_id: int = 0,
    instance: bytes = b"",
    room: int | None = None,
) -> bytes | None:
    """Fill `template`: the REGISTER, or with `expires` 0 the un-REGISTER.

    `client_uri` goes into From and To (see `sip.uri.identity_uri`), `contact` replaces scheme,
    user, host and port of the Contact, `line` is added to it, `call_id` are 16 raw bytes and
    `credentials` and `verify` (Security-Verify) whole header lines; `after_494` leaves
    Security-Client out. The last two count only with `security_negotiation=mediasec`. `reg_id` and
    `instance` (a UUID) count where `forms_flows`: a `reg_id` of 0 is the plain form. None: `room`
    is less than the request can need. Raises `ValueError` for a `call_id` of another length or a
    negative `expires`.
    """

def contact_uri(
    template: Template,
    *,
    contact_user: bytes = b"",
    contact: bytes = b"",
    line: bytes = b"",
    room: int = 2048,
) -> bytes | None:
    """The Contact's URI exactly as `build_register` sends it; None: `room` is too little."""
