"""Certificates for servers on loopback, and an authority that both clients trust while a test wants it."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from stream_runtime.aws import connections

_NOW = datetime.datetime.now(datetime.UTC)
_DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates of servers.

    Args:
        folder: where keys and certificates are written.

    Attributes:
        file: its own certificate.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("authority of the tests")
        self._certificate = self._signed(self._name, self._key.public_key(), (), _NOW + _DAY)
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, *names: str, expired: bool = False, self_signed: bool = False) -> ssl.SSLContext:
        """What a server with these names needs to speak TLS."""
        key = ec.generate_private_key(ec.SECP256R1())
        end = _NOW - _DAY if expired else _NOW + _DAY
        certificate = self._signed(_name(names[0]), key.public_key(), names, end, key if self_signed else self._key)
        file = self._folder / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _signed(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey,
        names: Sequence[str],
        end: datetime.datetime,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> x509.Certificate:
        is_own = key is not None and key is not self._key
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if is_own else self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_NOW - 10 * _DAY)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
        return builder.sign(key or self._key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


@contextmanager
def trusted(authority: Authority) -> Iterator[None]:
    """Both clients find this authority's certificate where they look for those of the world's."""
    where = str(authority.file)
    contexts = connections._contexts[:]
    connections._contexts.clear()
    try:
        with (
            mock.patch("certifi.where", return_value=where),
            mock.patch("botocore.httpsession.where", return_value=where),
        ):
            yield
    finally:
        connections._contexts[:] = contexts
