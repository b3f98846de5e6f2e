"""Messages that the tests of sip/ start from. All names and addresses are examples (RFC 2606)."""

from __future__ import annotations

OK_200 = (
    b"SIP/2.0 200 OK\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.10:5060;rport=5060"
    b";branch=z9hG4bK0000000100000002aabbccddeeff0011;received=192.0.2.10\r\n"
    b"From: <sip:trunk0001@example.com>;tag=0123456789abcdef\r\n"
    b"To: <sip:trunk0001@example.com>;tag=b27e1a1d33761e85846fc98f5f3a7e58.1a2b\r\n"
    b"Call-ID: 00112233445566778899aabbccddeeff\r\n"
    b"CSeq: 4711 REGISTER\r\n"
    b"Contact: <sip:s@192.0.2.10:5060;line=abcdefg>;expires=3600\r\n"
    b"Server: a registrar (1.0 (x86_64/linux))\r\n"
    b"Content-Length: 0\r\n\r\n"
)

CHALLENGE_401 = (
    b"SIP/2.0 401 Unauthorized\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.10:5060;rport=5060"
    b";branch=z9hG4bK0000000100000002aabbccddeeff0011;received=192.0.2.10\r\n"
    b"From: <sip:trunk0001@example.com>;tag=0123456789abcdef\r\n"
    b"To: <sip:trunk0001@example.com>;tag=b27e1a1d33761e85846fc98f5f3a7e58.6f0a\r\n"
    b"Call-ID: 00112233445566778899aabbccddeeff\r\n"
    b"CSeq: 4711 REGISTER\r\n"
    b'WWW-Authenticate: Digest realm="example.com", '
    b'nonce="ZuxDc2brQkfxVEr4lsH1RNZ0Zh5E9p1a", qop="auth"\r\n'
    b"Server: a registrar (1.0 (x86_64/linux))\r\n"
    b"Content-Length: 0\r\n\r\n"
)

ODD_200 = (
    b"\r\n\r\nsip/2.0  200  All is\twell\n"
    b'v : SIP / 2.0\r\n / UDP  [2001:db8::9]:5080 ; Branch = "z9hG4bKx" ;rport , SIP/2.0/TCP a\r\n'
    b"X Odd Name: 1\r\n"
    b'f: "Smith, \\"J\\" <x>;tag=no" <sip:a;b=c@example.com>;x="y;tag=no";TAG = right\r\n'
    b"t: sip:a@example.com;tag=left\r\n"
    b"i:call\r\n"
    b"cseq:\r\n  0000004711\t\tREGISTER\r\n"
    b'm: "A, B" <sip:one@192.0.2.1>;expires=30, sip:two@192.0.2.2;expires=60;q=1,,'
    b" <sip:three@h>\r\n"
    b"Contact:<sip:four@192.0.2.4>\r\n"
    b"  ;expires = 90\r\n"
    b"Retry-After: 18000 (at lunch) ;duration=3600\r\n"
    b"MIN-EXPIRES: 99999999999\r\n"
    b"Expires: never\r\n"
    b"L: 4\r\n"
    b"\n"
    b"bodyrest"
)

REGISTER = (
    b"REGISTER sip:registrar.example.com SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bK0000000100000002aabbccddeeff0011\r\n"
    b"Max-Forwards: 70\r\n"
    b"From: <sip:trunk0001@example.com>;tag=0123456789abcdef\r\n"
    b"To: <sip:trunk0001@example.com>\r\n"
    b"Call-ID: 00112233445566778899aabbccddeeff\r\n"
    b"CSeq: 4712 REGISTER\r\n"
    b"Contact: *\r\n"
    b"Expires: 0\r\n"
    b"Content-Length: 0\r\n\r\n"
)

ALL = {"200": OK_200, "401": CHALLENGE_401, "odd": ODD_200, "register": REGISTER}


def response(*lines: bytes, start: bytes = b"SIP/2.0 200 OK", body: bytes = b"") -> bytes:
    """A response with what every message needs, and `lines`."""
    needed = (
        start,
        b"Via: SIP/2.0/UDP h;branch=z9hG4bK1",
        b"From: <sip:a@example.com>;tag=1",
        b"To: <sip:a@example.com>;tag=2",
        b"Call-ID: c",
        b"CSeq: 1 REGISTER",
    )
    return b"\r\n".join((*needed, *lines, b"", b"")) + body
