"""The edge with a certificate, and with HTTP/2 on a plain connection."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from typing import TYPE_CHECKING

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.edge import Edge, TlsFiles
from infra.local.nginx import NginxServer, find_program
from infra.local.ports import any_free_port
from infra.local.service import Running

if TYPE_CHECKING:
    from pathlib import Path


def write_certificate(directory: Path) -> TlsFiles:
    """Make a certificate for `localhost` and its subdomains, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    hosts = [x509.DNSName(host) for host in ("localhost", "*.localhost")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = TlsFiles(certificate=directory / "cert.pem", key=directory / "key.pem")
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def server(home: Path, **options: object) -> NginxServer:
    made = NginxServer(
        home=home,
        edge=Edge(port=any_free_port(), run_directory=home, **options),
        program=find_program(),
    )
    made.ensure_configured()
    return made


def test_with_a_certificate_boxes_are_served_over_https(tmp_path):
    files = write_certificate(tmp_path)
    made = server(tmp_path / "nginx", tls=files)
    trust = ssl.create_default_context(cafile=str(files.certificate))
    with Running(made.service(), tmp_path / "log"), httpx.Client(verify=trust) as client:
        answer = client.get(
            f"https://localhost:{made.edge.port}/", headers={"Host": "nosuchbox.localhost"}
        )
    assert (answer.status_code, answer.json()["resourceType"]) == (404, "OperationOutcome")


def test_a_client_that_speaks_http_2_is_offered_it_over_tls(tmp_path):
    files = write_certificate(tmp_path)
    made = server(tmp_path / "nginx", tls=files)
    trust = ssl.create_default_context(cafile=str(files.certificate))
    trust.set_alpn_protocols(["h2", "http/1.1"])
    with (
        Running(made.service(), tmp_path / "log"),
        socket.create_connection(("127.0.0.1", made.edge.port), timeout=10) as plain,
        trust.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        assert connection.selected_alpn_protocol() == "h2"


def test_http_2_without_tls_only_where_configured(tmp_path):
    settings_frame = b"\0\0\0\x04\0\0\0\0\0"
    for h2c in (True, False):
        made = server(tmp_path / f"nginx-{h2c}", h2c=h2c)
        with (
            Running(made.service(), tmp_path / "log"),
            socket.create_connection(("127.0.0.1", made.edge.port), timeout=10) as connection,
        ):
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings_frame)
            answer = connection.recv(9)
        assert (answer[3:4] == b"\x04") is h2c, answer
