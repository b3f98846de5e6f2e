"""The registrar on TCP and TLS: framing, answers on their flow, certificates, keep-alives."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest
from msgspec.structs import replace

from authority import Authority
from regiment.coordinator.registrar_pool import RegistrarPool
from regiment.errors import ConfigError, LocalError
from regiment.registrar.faults import parse_delay
from registrar.streams import careless, open_phone, streaming, trusting, until, with_pool
from registrar.test_server import Phone as UdpPhone

pytestmark = pytest.mark.system


def test_udp_tcp_and_tls_are_served_at_once_and_counted_apart() -> None:
    async def work(pool: RegistrarPool) -> None:
        udp = UdpPhone("{}:{}".format(*pool.address))
        assert udp.register().status == 200
        udp.close()
        async with open_phone(pool.tcp) as tcp:
            assert (await tcp.register()).status == 200
            async with open_phone(pool.tls, **trusting(str(pool.certificate))) as tls:
                assert (await tls.register()).status == 200
                counts = await until(pool, lambda counts: counts["messages_tls"] == 2)
        assert (counts["messages_udp"], counts["messages_tcp"]) == (2, 2)
        assert (counts["flows_tcp"], counts["flows_tls"]) == (1, 1)
        counts = await until(pool, lambda counts: counts["flows_closed_peer"] == 2)
        assert (counts["flows_tcp"], counts["flows_tls"]) == (0, 0)
        assert (counts["flows_opened_tcp"], counts["flows_opened_tls"]) == (1, 1)

    with_pool(streaming(), work)


def test_several_messages_a_read_and_a_message_in_single_bytes() -> None:
    async def work(pool: RegistrarPool) -> None:
        async with open_phone(pool.tcp) as phone:
            requests = [phone.writer.request() for _ in range(50)]
            phone.say(b"".join(requests))
            for number in range(50):
                reply = await phone.answer()
                assert (reply.status, reply.one("CSeq")) == (401, f"{number + 1} REGISTER")
            for byte in phone.writer.request():
                phone.say(bytes((byte,)))
                await phone.stream.drain()
            assert (await phone.answer()).status == 401

    with_pool(streaming(), work)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_answers_name_where_the_request_came_from(host: str) -> None:
    async def work(pool: RegistrarPool) -> None:
        async with open_phone(pool.tcp) as phone:
            own = phone.stream.get_extra_info("sockname")
            via = (await phone.ask(phone.writer.request())).one("Via")
            assert f"rport={own[1]}" in via
            assert f"received={own[0]}" in via
        async with open_phone(pool.tls, **trusting(str(pool.certificate), host)) as phone:
            assert (await phone.register()).status == 200

    with_pool(streaming(host=host), work)


def test_a_ping_gets_its_pong_and_a_lone_crlf_nothing() -> None:
    async def work(pool: RegistrarPool) -> None:
        async with open_phone(pool.tls, **careless()) as phone:
            phone.say(b"\r\n\r\n")
            assert await phone.reader.readexactly(2) == b"\r\n"
            assert (await phone.ask(b"\r\n" + phone.writer.request())).status == 401
            phone.say(b"\r\n\r\n")
            assert await phone.reader.readexactly(2) == b"\r\n"
            counts = await until(pool, lambda counts: counts["keep_alives_tls"] == 2)
            assert counts["keep_alives_tcp"] == 0

    with_pool(streaming(), work)


def test_a_flow_gone_before_its_delayed_answer_costs_that_answer_alone() -> None:
    options = streaming()
    faults = options.settings.faults

    async def work(pool: RegistrarPool) -> None:
        async with open_phone(pool.tcp) as hasty, open_phone(pool.tcp) as patient:
            patient.say(patient.writer.request())
            hasty.say(hasty.writer.request(call_id="another"))
            await hasty.stream.drain()
            hasty.close()
            assert (await patient.answer()).status == 401
            counts = await until(pool, lambda counts: counts["answers_lost"] == 1)
            assert counts["responses_401"] == 2

    delayed = replace(faults, delay=parse_delay("300ms"))
    with_pool(replace(options, settings=replace(options.settings, faults=delayed)), work)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"REGISTER sip:a SIP/2.0\r\nX: " + b"x" * 200_000,
        b"REGISTER sip:a SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bKa\r\n\r\n",
    ],
)
def test_what_is_no_sip_ends_the_flow_and_nothing_else(garbage: bytes) -> None:
    async def work(pool: RegistrarPool) -> None:
        async with open_phone(pool.tcp) as other, open_phone(pool.tcp) as phone:
            phone.say(garbage)
            assert await phone.rest() == b""
            await until(pool, lambda counts: counts["flows_closed_framing"] == 1)
            assert (await other.register()).status == 200

    with_pool(streaming(), work)


def test_a_client_that_reads_nothing_is_read_no_further() -> None:
    async def work(pool: RegistrarPool) -> None:
        async with open_phone(pool.tcp) as phone:
            request = phone.writer.request()
            sent = 0
            # Kernel buffers on both sides fill up, and then the writer is held back.
            with contextlib.suppress(TimeoutError):
                while sent < 1_000_000:
                    phone.say(request * 100)
                    sent += 100
                    await asyncio.wait_for(phone.stream.drain(), 1.0)
            assert sent < 1_000_000
            for _ in range(sent):
                await phone.answer()

    with_pool(streaming(), work)


def test_several_processes_share_the_ports() -> None:
    async def work(pool: RegistrarPool) -> None:
        for _ in range(12):
            async with open_phone(pool.tcp) as phone:
                assert (await phone.register()).status == 200
        counts = await until(pool, lambda counts: counts["flows_closed_peer"] == 12)
        assert counts["messages_tcp"] == 24

    with_pool(streaming(workers=3), work)


# ---- certificates


def test_a_certificate_of_an_authority_is_shown_and_one_of_the_client_wanted() -> None:
    with Authority() as authority, Authority() as another:
        shown = authority.issue(dns=["sip.example.com"])
        own, foreign = authority.issue(cn="trunk7"), another.issue(cn="trunk7")
        options = streaming(
            cert_file=str(shown.cert_file),
            priv_key_file=str(shown.key_file),
            client_ca_file=str(authority.ca_file),
        )

        async def work(pool: RegistrarPool) -> None:
            tls = trusting(str(authority.ca_file), "sip.example.com")
            tls["ssl"].load_cert_chain(own.cert_file, own.key_file)
            async with open_phone(pool.tls, **tls) as phone:
                assert (await phone.register()).status == 200
            tls = trusting(str(authority.ca_file), "sip.example.com")
            tls["ssl"].maximum_version = ssl.TLSVersion.TLSv1_2
            tls["ssl"].load_cert_chain(foreign.cert_file, foreign.key_file)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                async with open_phone(pool.tls, **tls):
                    pass
            await until(pool, lambda counts: counts["flows_refused_tls"] == 1)

        with_pool(options, work)


@pytest.mark.parametrize(
    ("fault", "complaint"), [("wrong-name", "not valid for"), ("expired", "has expired")]
)
def test_a_throw_away_certificate_may_have_a_fault(fault: str, complaint: str) -> None:
    async def work(pool: RegistrarPool) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match=complaint):
            async with open_phone(pool.tls, **trusting(str(pool.certificate))):
                pass
        async with open_phone(pool.tls, **careless()) as phone:
            assert (await phone.register()).status == 200

    with_pool(streaming(certificate_fault=fault), work)


@pytest.mark.parametrize(
    ("about", "complaint"),
    [
        ({"cert_file": "a.pem"}, "needs its key"),
        ({"cert_file": "/does/not/exist", "priv_key_file": "/neither"}, "No such file"),
        ({"cert_file": __file__, "priv_key_file": __file__}, "no certificate with its key"),
        ({"client_ca_file": "/does/not/exist"}, "No such file"),
        ({"client_ca_file": __file__}, "no certificates"),
        ({"tls": None, "client_ca_file": "a.pem"}, "need a TLS port"),
        ({"certificate_fault": "ugly"}, "wrong-name or expired"),
        (
            {"certificate_fault": "expired", "cert_file": "a", "priv_key_file": "b"},
            "only a throw-away certificate",
        ),
        ({"tcp": ("192.0.2.1", 0)}, "no interface"),
        ({"tcp": ("sip.example.com", 0)}, "not an IP address"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(about, complaint: str) -> None:
    async def nothing(_: RegistrarPool) -> None:
        raise AssertionError("it started")

    with pytest.raises((ConfigError, LocalError), match=complaint) as found:
        with_pool(streaming(**about), nothing)
    assert "\n" not in str(found.value)


def test_an_encrypted_key_is_refused_without_a_question() -> None:
    async def nothing(_: RegistrarPool) -> None:
        raise AssertionError("it started")

    with Authority() as authority:
        issued = authority.issue(cn="x", password="geheim")
        options = streaming(cert_file=str(issued.cert_file), priv_key_file=str(issued.key_file))
        with pytest.raises(LocalError, match="not encrypted"):
            with_pool(options, nothing)
