"""Certificates for tests: an authority of our own, and what it signs."""

import datetime as dt
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from src.demo.nats_server import HOST

VALID_FOR = dt.timedelta(days=1)


class Certificate(NamedTuple):
    """A certificate and its key, each a PEM file."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates into `folder`; who trusts it is given `ca`."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self._folder = folder / name.replace(" ", "-")
        self._folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        signed = self._unsigned(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.ca = self._folder / "ca.pem"
        self.ca.write_bytes(signed.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def certificate(self, name: str, host: str = HOST) -> Certificate:
        """A certificate for a server at the address `host`, or for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        signed = self._unsigned(_named(name), key).add_extension(addresses, critical=False)
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}-key.pem")
        made.cert.write_bytes(signed.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        made.key.write_bytes(private_pem(key))
        return made

    def _unsigned(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - VALID_FOR)
            .not_valid_after(now + VALID_FOR)
        )


def private_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> bytes:
    """The key as PEM, encrypted where there is a passphrase."""
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
