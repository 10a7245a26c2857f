"""A certificate authority of one test run: server and client certificates, and a key that signs tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_VALID = timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and of its key, PEM."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates into a folder; `certificate` is the file of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject("serin-tests", "")
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        built = self._builder(self._name, self._key.public_key()).add_extension(constraints, critical=True)
        self.certificate = folder / "ca.crt"
        self.certificate.write_bytes(_pem(built.sign(self._key, hashes.SHA256())))

    def issue(self, name: str, organisation: str = "", hosts: Sequence[str] = ()) -> Pair:
        """A certificate for `name`: of a client, whose group is `organisation`, and of a server at `hosts`."""
        key = ec.generate_private_key(ec.SECP256R1())
        built = self._builder(_subject(name, organisation), key.public_key())
        if hosts:
            built = built.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        pair = Pair(self._folder / f"{name}.crt", self.key_file(name, key))
        pair.certificate.write_bytes(_pem(built.sign(self._key, hashes.SHA256())))
        return pair

    def key_file(self, name: str, key: ec.EllipticCurvePrivateKey | None = None) -> Path:
        """The file of a private key, which is made where none is given."""
        path = self._folder / f"{name}.key"
        path.touch(mode=0o600)
        path.write_bytes(
            (key or ec.generate_private_key(ec.SECP256R1())).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
            )
        )
        return path

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + _VALID)
        )


def _subject(name: str, organisation: str) -> x509.Name:
    named = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organisation:
        named.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(named)


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
