"""The REGISTER request from a compiled template: see request.pyi and request.pxd."""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy

from regiment.sip.branch cimport BRANCH_BYTES, write_branch
from regiment.sip.digest cimport write_hex

from regiment.sip.uri import parse_uri, str_of, unescape, without_brackets

# What the binding takes. A REGISTER speaks for whoever the Contact leads to, and calls are what a
# trunk is registered for: INVITE and what belongs to it (ACK, CANCEL, BYE); OPTIONS and NOTIFY are
# what registrars send outside of calls (pings, message counts), and are answered.
ALLOW = "OPTIONS, INVITE, ACK, CANCEL, BYE, NOTIFY"

COMPACT_NAMES = {
    "Via": "v", "From": "f", "To": "t", "Call-ID": "i", "Contact": "m", "Supported": "k",
    "Content-Length": "l",
}
# Headers that a server_uri's `?name=value` never adds: those of every REGISTER, and what would
# bend its way (RFC 3261 19.1.5).
OWN_NAMES = frozenset({
    "via", "route", "record-route", "from", "to", "call-id", "cseq", "contact", "expires",
    "allow", "supported", "max-forwards", "user-agent", "authorization", "proxy-authorization",
    "content-length", "content-type", "require", "proxy-require", "body", "security-client",
    "security-server", "security-verify",
})
SECURE_PROTOCOLS = ("tls", "wss")
MEDIASEC = "mediasec"

cdef enum:
    CALL_ID_BYTES = 16
    # branch, tag and Call-ID as text, the digits of CSeq and Expires, ";line="
    NUMBERS_BYTES = BRANCH_BYTES + 16 + 32 + 10 + 20 + 6
    FLOW_BYTES = 26 + 10 + 10     # the parameters of a flow, without the UUID


# --- compiling ----------------------------------------------------------------------------------

def _routing(policy):
    """Request-URI and Route values (RFC 3261 12.2.1.1): loose if the first route says `lr`."""
    target = _without_headers(policy.server_uri)
    routes = [value.strip() if value.strip().startswith("<") else f"<{value.strip()}>"
              for value in policy.outbound_proxy]
    uris = [route[1:].partition(">")[0] for route in routes]
    if not routes:
        return target, []
    first = parse_uri(uris[0])
    if first.parameter("lr") is None and first.parameter("hide") is None:
        return _without_headers(uris[0]), [*routes[1:], f"<{target}>"]
    # `hide`, which Asterisk's users know from pjsip: the way is taken, the header left out
    return target, [route for route, uri in zip(routes, uris, strict=True)
                    if parse_uri(uri).parameter("hide") is None]


def request_uri_of(policy):
    return _routing(policy)[0].encode("utf-8", "surrogateescape")


def forms_flows(policy):
    if policy.outbound != "full":
        return False
    names = [part.partition("=")[0].strip().lower()
             for part in _split_unquoted(policy.contact_header_params)]
    return "+sip.instance" not in names and "reg-id" not in names


def _option_tags(policy, bint is_flow):
    """The values of Supported; who asks for a flow has to name both (RFC 5626 section 4.2.1)."""
    cdef bint with_outbound = policy.support_outbound or policy.outbound != ""
    if forms_flows(policy):
        with_outbound = is_flow
    return [tag for tag, wanted in (("path", policy.support_path or is_flow),
                                    ("outbound", with_outbound)) if wanted]


def _without_headers(text):
    bare = without_brackets(text)
    uri = parse_uri(bare)
    return str_of(uri._replace(headers=())) if uri.headers else bare


def _extra_headers(server_uri):
    lines = []
    for name, value in parse_uri(server_uri).headers:
        name, value = unescape(name), unescape(value)
        if name.lower() in OWN_NAMES or not name.replace("-", "").isalnum():
            continue
        if value.isprintable():
            lines.append(f"{name}: {value}\r\n")
    return "".join(lines)


def _ordered_parameters(text, with_expires):
    """`;…` behind the Contact: q and expires first, as Asterisk prints them.

    An un-REGISTER goes without `expires`, which would bind again what it is to unbind.
    """
    parts = [part.strip() for part in _split_unquoted(text) if part.strip()]
    names = [part.partition("=")[0].strip().lower() for part in parts]
    chosen = [part for wanted in ("q", "expires") for part, name in zip(parts, names, strict=True)
              if name == wanted and (with_expires or wanted == "q")]
    chosen += [part for part, name in zip(parts, names, strict=True)
               if name not in ("q", "expires")]
    return "".join(f";{part}" for part in chosen)


def _split_unquoted(text):
    parts, start, quoted, escaped = [], 0, False, False
    for at, char in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == ";" and not quoted:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _mechanism(text):
    """A security mechanism without its preference, which Asterisk never sends."""
    parts = [part.strip() for part in _split_unquoted(text)]
    return ";".join(part for part in parts if part and part.partition("=")[0].strip() != "q")


@cython.final
cdef class Template:

    def __init__(self, policy, transport, str host not None, int port):
        cdef int kind
        protocol = transport.protocol.lower()
        request_uri, routes = _routing(policy)
        shown_host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        via = f"SIP/2.0/{protocol.upper()} {shown_host}:{port}"
        rport = "" if policy.disable_rport else ";rport"
        alias = "" if protocol == "udp" else ";alias"
        name = COMPACT_NAMES if policy.compact_headers else {full: full for full in COMPACT_NAMES}
        secure = (parse_uri(policy.server_uri).scheme == "sips" and protocol in SECURE_PROTOCOLS)
        suffix = "" if protocol == "udp" else f";transport={protocol.upper()}"
        self.kept = []
        self.request_uri = request_uri.encode("utf-8", "surrogateescape")
        self.head = self._keep(
            f"REGISTER {request_uri} SIP/2.0\r\n{name['Via']}: {via}{rport};branch=")
        route_lines = "".join(f"Route: {route}\r\n" for route in routes)
        self.after_branch = self._keep(f"{alias}\r\n{route_lines}{name['From']}: <")
        self.after_from = self._keep(">;tag=")
        self.before_to = self._keep(f"\r\n{name['To']}: <")
        self.before_call_id = self._keep(f">\r\n{name['Call-ID']}: ")
        self.before_cseq = self._keep("\r\nCSeq: ")
        self.before_contact = self._keep(
            f" REGISTER\r\n{_extra_headers(policy.server_uri)}{name['Contact']}: <")
        self.contact_scheme = self._keep("sips:" if secure else "sip:")
        self.contact_host = self._keep(f"@{shown_host}:{port}{suffix}")
        self.mediasec = policy.security_negotiation == MEDIASEC
        self.security_client = self._keep("".join(
            f"Security-Client: {_mechanism(text)}\r\n" for text in policy.security_mechanisms))
        self.forms_flows = forms_flows(policy)
        for kind in range(8 if self.forms_flows else 4):
            self._compile_tail(kind, policy, name)
        self.fixed_bytes = <uint32_t>sum(len(piece) for piece in self.kept) + 1

    cdef int _compile_tail(self, int kind, policy, dict name) except -1:
        """Everything behind the Contact, for one sum of WITH_CREDENTIALS, UN_REGISTER and PLAIN.

        Asterisk removes and appends again an object's own User-Agent when it answers a challenge.
        """
        un_register = bool(kind & UN_REGISTER)
        parameters = _ordered_parameters(policy.contact_header_params, not un_register)
        agent = f"User-Agent: {policy.user_agent}\r\n" if policy.user_agent else ""
        own_agent = agent if policy.user_agent_own else ""
        tags = _option_tags(policy, self.forms_flows and not kind & PLAIN)
        tail = "\r\n"
        if not un_register:
            tail += f"Allow: {ALLOW}\r\n"
        if tags:
            tail += f"{name['Supported']}: {', '.join(tags)}\r\n"
        if self.mediasec:
            self.after_expires[kind] = self._keep(tail)
            tail = f"Require: {MEDIASEC}\r\nProxy-Require: {MEDIASEC}\r\n"
        if not kind & WITH_CREDENTIALS:
            tail += own_agent
        tail += f"Max-Forwards: {policy.max_forwards}\r\n"
        if not policy.user_agent_own:
            tail += agent
        self.after_contact[kind] = self._keep(f">{parameters}\r\nExpires: ")
        if self.mediasec:
            self.after_verify[kind] = self._keep(tail)
        else:
            self.after_expires[kind] = self._keep(tail)
        self.ending[kind] = self._keep(
            (own_agent if kind & WITH_CREDENTIALS else "")
            + f"{name['Content-Length']}:  0\r\n\r\n")
        return 0

    cdef Text _keep(self, str piece):
        cdef Text text
        cdef bytes raw = piece.encode("utf-8", "surrogateescape")
        self.kept.append(raw)
        text.data = PyBytes_AS_STRING(raw)
        text.length = <uint32_t>PyBytes_GET_SIZE(raw)
        return text

    cdef uint64_t bound(self, const Fill* fill) noexcept nogil:
        return (NUMBERS_BYTES + <uint64_t>self.fixed_bytes + 2 * <uint64_t>fill.client_uri.length
                + fill.contact_user.length + fill.contact.length + fill.line.length
                + fill.credentials.length + fill.verify.length
                + FLOW_BYTES + fill.instance.length)

    cdef int build(self, char* out, uint32_t room, const Fill* fill) noexcept nogil:
        cdef char* p = out
        cdef uint8_t[8] tag
        cdef int kind = WITH_CREDENTIALS if fill.credentials.length else 0
        if self.bound(fill) > room:
            return -1
        if fill.expires == 0:
            kind += UN_REGISTER
        if self.forms_flows and fill.reg_id == 0:
            kind += PLAIN
        p = put(p, &self.head)
        write_branch(p, fill.slot, fill.generation, fill.salt)
        p = put(p + BRANCH_BYTES, &self.after_branch)
        p = put(p, &fill.client_uri)
        p = put(p, &self.after_from)
        write_big_endian(tag, fill.from_tag)
        write_hex(p, tag, 8)
        p = put(p + 16, &self.before_to)
        p = put(p, &fill.client_uri)
        p = put(p, &self.before_call_id)
        write_hex(p, fill.call_id, CALL_ID_BYTES)
        p = put(p + 32, &self.before_cseq)
        p = put_number(p, fill.cseq)
        p = put(p, &self.before_contact)
        p = self.put_contact(p, fill)
        if self.forms_flows and fill.reg_id:
            p = put_flow(p, fill, &self.after_contact[kind])
        else:
            p = put(p, &self.after_contact[kind])
        p = put_number(p, <uint64_t>fill.expires)
        p = put(p, &self.after_expires[kind])
        if self.mediasec:
            p = self.put_agreement(p, fill, kind)
        if fill.credentials.length:      # without any there is no address to copy from either
            p = put(p, &fill.credentials)
        p = put(p, &self.ending[kind])
        return <int>(p - out)

    cdef char* put_agreement(self, char* p, const Fill* fill, int kind) noexcept nogil:
        """RFC 3329 as Asterisk has it: our mechanisms, those of the other side, Require."""
        if not fill.after_494:
            p = put(p, &self.security_client)
        if fill.verify.length:
            p = put(p, &fill.verify)
        return put(p, &self.after_verify[kind])

    cdef char* put_contact(self, char* p, const Fill* fill) noexcept nogil:
        cdef Text piece
        cdef const char* headers
        if fill.contact.length == 0:
            p = put(p, &self.contact_scheme)
            if fill.contact_user.length:
                p = put(p, &fill.contact_user)
            else:
                p[0] = c's'
                p += 1
            return put_line(put(p, &self.contact_host), fill)
        headers = headers_of(&fill.contact)
        piece.data = fill.contact.data
        piece.length = <uint32_t>(headers - piece.data)
        p = put_line(put(p, &piece), fill)
        piece.data = headers
        piece.length = fill.contact.length - piece.length
        return put(p, &piece)

    cdef int contact_into(self, char* out, uint32_t room, const Fill* fill) noexcept nogil:
        cdef uint64_t needed = (<uint64_t>fill.contact_user.length + fill.contact.length + 7
                                + fill.line.length + self.contact_host.length)
        if needed > room:
            return -1
        return <int>(self.put_contact(out, fill) - out)


# --- filling ------------------------------------------------------------------------------------

cdef inline char* put(char* out, const Text* text) noexcept nogil:
    memcpy(out, text.data, text.length)
    return out + text.length


cdef inline char* put_line(char* out, const Fill* fill) noexcept nogil:
    if fill.line.length == 0:
        return out
    memcpy(out, b";line=", 6)
    return put(out + 6, &fill.line)


cdef char* put_flow(char* out, const Fill* fill, const Text* after_contact) noexcept nogil:
    """RFC 5626 section 4.2: the instance and the flow's number, in front of other parameters."""
    cdef Text rest
    memcpy(out, b'>;+sip.instance="<urn:uuid:', 27)
    out = put(out + 27, &fill.instance)
    memcpy(out, b'>";reg-id=', 10)
    out = put_number(out + 10, fill.reg_id)
    rest.data, rest.length = after_contact.data + 1, after_contact.length - 1
    return put(out, &rest)


cdef inline char* put_number(char* out, uint64_t number) noexcept nogil:
    cdef char[20] digits
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = c'0' + <char>(number % 10)
        number //= 10
        if number == 0:
            break
    memcpy(out, digits + at, 20 - at)
    return out + 20 - at


cdef inline void write_big_endian(uint8_t* out, uint64_t number) noexcept nogil:
    cdef int at
    for at in range(8):
        out[at] = <uint8_t>(number >> (56 - 8 * at))


# Where the "?headers" of a URI begin (a '?' before the '@' is the user's), or its end: a URI
# parameter stands before them.
cdef const char* headers_of(const Text* uri) noexcept nogil:
    cdef const char* end = uri.data + uri.length
    cdef const char* start = <const char*>memchr(uri.data, c'@', uri.length)
    cdef const char* found
    if start == NULL:
        start = uri.data
    found = <const char*>memchr(start, c'?', end - start)
    return end if found == NULL else found


# --- for tests and tools ------------------------------------------------------------------------

cdef Text text_of(bytes raw):
    cdef Text text
    text.data = PyBytes_AS_STRING(raw)
    text.length = <uint32_t>PyBytes_GET_SIZE(raw)
    return text


cdef int fill_from(Fill* fill, bytes client_uri, bytes contact_user, bytes contact,
                   bytes line) except -1:
    fill.client_uri = text_of(client_uri)
    fill.contact_user = text_of(contact_user)
    fill.contact = text_of(contact)
    fill.line = text_of(line)
    fill.credentials = fill.verify = text_of(b"")
    fill.after_494 = False
    fill.reg_id = 0
    fill.instance = text_of(b"")
    return 0


def build_register(Template template not None, bytes client_uri not None, *,
                   bytes contact_user=b"", bytes contact=b"", bytes line=b"",
                   bytes call_id=bytes(16), uint32_t cseq=1, int64_t expires=3600,
                   uint64_t from_tag=0, uint32_t slot=0, uint32_t generation=0,
                   uint64_t salt=0, bytes credentials=b"", bytes verify=b"",
                   bint after_494=False, uint32_t reg_id=0, bytes instance=b"", room=None):
    cdef Fill fill
    cdef bytes out
    cdef int length
    if len(call_id) != CALL_ID_BYTES or expires < 0:
        raise ValueError("call_id is 16 raw bytes, expires not negative")
    fill_from(&fill, client_uri, contact_user, contact, line)
    fill.credentials = text_of(credentials)
    fill.verify, fill.after_494 = text_of(verify), after_494
    fill.reg_id, fill.instance = reg_id, text_of(instance)
    fill.call_id = <const uint8_t*>PyBytes_AS_STRING(call_id)
    fill.slot, fill.generation, fill.salt = slot, generation, salt
    fill.cseq, fill.expires, fill.from_tag = cseq, expires, from_tag
    out = PyBytes_FromStringAndSize(NULL, template.bound(&fill) if room is None else room)
    length = template.build(PyBytes_AS_STRING(out), <uint32_t>len(out), &fill)
    return None if length < 0 else out[:length]


def contact_uri(Template template not None, *, bytes contact_user=b"", bytes contact=b"",
                bytes line=b"", uint32_t room=2048):
    cdef Fill fill
    cdef bytes out = PyBytes_FromStringAndSize(NULL, room)
    cdef int length
    fill_from(&fill, b"", contact_user, contact, line)
    length = template.contact_into(PyBytes_AS_STRING(out), room, &fill)
    return None if length < 0 else out[:length]
