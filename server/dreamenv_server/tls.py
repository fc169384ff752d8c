"""TLS: the server's certificate, and the authority that clients' certificates must come from."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from dreamenv.errors import DreamenvError
from dreamenv_server.logs import say


class TLSError(DreamenvError, ValueError):
    """A certificate or key cannot be used."""


@dataclass(frozen=True)
class TLSFiles:
    """PEM files: the certificate (with its chain), its key and, for mutual TLS, the clients' CA."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def check(self) -> None:
        """See that each can be used, and that certificate and key belong together.

        Raises:
            TLSError: naming the file and the fix.
        """
        for file, what in self._named():
            try:
                file.read_bytes()
            except OSError as error:
                raise TLSError(
                    f"{file}: expected {what} in PEM, found: {error.strerror}. Check the path."
                ) from error
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._loads(self.cert, "a certificate", lambda: context.load_verify_locations(self.cert))
        try:
            context.load_cert_chain(self.cert, self.key, password="")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise TLSError(
                    f"{self.key}: expected the key of {self.cert}, found another's. Name the pair "
                    "that was made together."
                ) from error
            raise TLSError(
                f"{self.key}: expected a private key in PEM, without a password, found something "
                f"else ({error.reason}). `openssl pkey -in KEY -out PLAIN` takes a password off."
            ) from error
        if self.client_ca is not None:
            authority = self.client_ca
            self._loads(
                authority,
                "the certificates of one or more authorities",
                lambda: context.load_verify_locations(authority),
            )

    def _named(self) -> list[tuple[Path, str]]:
        named = [(self.cert, "a certificate"), (self.key, "a private key")]
        if self.client_ca is not None:
            named.append((self.client_ca, "the certificates of one or more authorities"))
        return named

    @staticmethod
    def _loads(file: Path, what: str, load: Any) -> None:
        try:
            load()
        except ssl.SSLError as error:
            raise TLSError(
                f"{file}: expected {what} in PEM, found something else ({error.reason}). It begins "
                "with -----BEGIN CERTIFICATE-----."
            ) from error

    def versions(self) -> list[tuple[int, int]]:
        """What changes when a file does."""
        return [(found.st_ctime_ns, found.st_ino) for found in (f.stat() for f, _ in self._named())]


class ServerTLS:
    """Credentials of a server, renewed when its files change: certificates are short-lived."""

    def __init__(self, files: TLSFiles) -> None:
        """Check the files and read them.

        Raises:
            TLSError: naming the file and the fix.
        """
        files.check()
        self._files = files
        self._versions = files.versions()
        self.credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
            self._read(),
            self._renewed,  # type: ignore[arg-type]  # it may say None: no change
            require_client_authentication=files.client_ca is not None,
        )

    def _read(self) -> grpc.ServerCertificateConfiguration:
        files = self._files
        authority = None if files.client_ca is None else files.client_ca.read_bytes()
        pair = (files.key.read_bytes(), files.cert.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=authority)

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked for before each handshake: other certificates, or None for those there are."""
        try:
            versions = self._files.versions()
            if versions == self._versions:
                return None
            # A pair that is being replaced may not match yet; then the old one still serves.
            self._files.check()
            found = self._read()
            if self._files.versions() != versions:
                return None
        except (OSError, TLSError) as error:
            say("certificate_not_reloaded", level=logging.ERROR, error=str(error))
            return None
        self._versions = versions
        say("certificate_reloaded")
        return found
