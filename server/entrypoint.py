"""What the container runs: `dreamenv serve`, open to other machines only with TLS and a token.

Whatever is not given as an argument is made here. On the first start: a certificate authority of
its own and a random token, kept in the volume, readable by the server's user alone. At every start:
a certificate for the names in DREAMENV_HOSTS (names and addresses, by comma or space), this
container's host name, and localhost. So clients that trust the authority go on doing so when the
container or its names change.

Standard library alone, and Debian's openssl.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

STATE = Path(os.environ.get("DREAMENV_STATE", "/var/lib/dreamenv"))
"""What outlives the container: its volume."""
RUN = Path(os.environ.get("DREAMENV_RUN", "/run/dreamenv"))
"""What does not."""
AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 825
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
CLIENT = "learners"
"""Whose token is made: everyone's, until other lines are added to the file."""
HOST_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_-]+)*\.?")


def subject_names(hosts: str) -> str:
    """The subjectAltName of the hosts, this machine's name and localhost, as openssl reads it.

    Raises:
        ValueError: one is neither a host name nor an address.

    Examples:
        >>> subject_names("gpu-box, 10.0.0.7").startswith("DNS:gpu-box,IP:10.0.0.7,DNS:")
        True
    """
    names: dict[str, None] = {}
    wanted = filter(None, re.split(r"[,\s]+", hosts))
    for host in (*wanted, socket.gethostname(), "localhost", "127.0.0.1", "::1"):
        try:
            names[f"IP:{ipaddress.ip_address(host)}"] = None
        except ValueError:
            if not HOST_NAME.fullmatch(host):
                raise ValueError(
                    f"DREAMENV_HOSTS has {host!r}; expected host names and IP addresses, "
                    "by comma or space, without ports"
                ) from None
            names[f"DNS:{host}"] = None
    return ",".join(names)


def make_authority(state: Path) -> Path:
    """The folder with ``ca.pem`` and ``ca.key``; made if it is not there.

    It appears whole, by one rename: of two containers that start at once on one volume, the second
    takes the first one's.
    """
    folder = state / "ca"
    if (folder / "ca.pem").exists():
        return folder
    with tempfile.TemporaryDirectory(dir=state) as scratch:
        made = Path(scratch) / "ca"
        made.mkdir(mode=0o700)
        config = _config(
            Path(scratch),
            "basicConstraints=critical,CA:TRUE,pathlen:0",
            "keyUsage=critical,keyCertSign,cRLSign",
            "subjectKeyIdentifier=hash",
        )
        subject = f"/CN=dreamenv {secrets.token_hex(4)}"
        _openssl(
            *("req", "-x509", *KEY, "-config", config, "-extensions", "extensions"),
            *("-days", AUTHORITY_DAYS, "-subj", subject),
            *("-keyout", made / "ca.key", "-out", made / "ca.pem"),
        )
        try:
            made.rename(folder)
        except OSError:
            if not (folder / "ca.pem").exists():
                raise
    return folder


def make_certificate(authority: Path, names: str, out: Path) -> tuple[Path, Path]:
    """A fresh certificate and its key, signed by the authority, in the folder ``out``."""
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate, key = out / "tls.pem", out / "tls.key"
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        request = Path(scratch) / "request.pem"
        config = _config(
            Path(scratch),
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature",
            "extendedKeyUsage=serverAuth",
            f"subjectAltName={names}",
        )
        _openssl(
            *("req", "-new", *KEY, "-config", config, "-subj", "/CN=dreamenv server"),
            *("-keyout", key, "-out", request),
        )
        _openssl(
            *("x509", "-req", "-in", request, "-days", CERTIFICATE_DAYS),
            *("-CA", authority / "ca.pem", "-CAkey", authority / "ca.key"),
            *("-set_serial", f"0x{secrets.token_hex(16)}"),
            *("-extfile", config, "-extensions", "extensions", "-out", certificate),
        )
    return certificate, key


def make_tokens(state: Path) -> Path:
    """The file with the clients' tokens, as `dreamenv serve --token-file` reads it.

    Made, whole, with one random token if it is not there.
    """
    file = state / "tokens"
    if not file.exists():
        descriptor, scratch = tempfile.mkstemp(dir=state)  # 0600
        with os.fdopen(descriptor, "w", encoding="ascii") as text:
            text.write(f"{CLIENT}:{secrets.token_urlsafe(32)}\n")
        try:
            os.link(scratch, file)
        except FileExistsError:
            pass  # Another container on the same volume was quicker.
        finally:
            os.unlink(scratch)
    return file


def serve_arguments(
    given: Sequence[str], environment: Mapping[str, str], state: Path = STATE, run: Path = RUN
) -> tuple[list[str], list[str]]:
    """The arguments of `dreamenv serve`, and lines for the log that say how to reach it.

    Args:
        given: the container's arguments; they win over everything made here.
        environment: read for DREAMENV_HOSTS.

    Raises:
        ValueError: see :func:`subject_names`.
        OSError: the volume cannot be written.
        RuntimeError: openssl failed.
    """
    names = {word.split("=", 1)[0] for word in given}
    arguments: list[str] = []
    lines: list[str] = []

    def default(flag: str, value: object) -> None:
        if flag not in names:
            arguments.extend((flag, str(value)))

    if "--insecure" not in names:
        if not names & {"--tls-cert", "--tls-key"}:
            authority = make_authority(state)
            certificate, key = make_certificate(
                authority, subject_names(environment.get("DREAMENV_HOSTS", "")), run / "tls"
            )
            default("--tls-cert", certificate)
            default("--tls-key", key)
            lines.append(
                "what clients trust this server by: "
                f"docker exec CONTAINER cat {authority / 'ca.pem'} > ca.pem"
            )
        if "--token-file" not in names:
            tokens = make_tokens(state)
            default("--token-file", tokens)
            lines.append(
                f"their token: docker exec CONTAINER sed -n s/^{CLIENT}://p {tokens} > token"
            )
    default("--address", "0.0.0.0:50051")
    default("--key-file", state / "snapshot.key")
    default("--health-address", f"unix:{run / 'health.sock'}")
    default("--metrics-address", "0.0.0.0:9464")
    return [*arguments, *given], lines


def main() -> None:
    """Make what is missing, then become the server: as process 1, it gets SIGTERM itself."""
    os.umask(0o077)
    given = sys.argv[1:]
    if given and not given[0].startswith("-"):  # docker run IMAGE dreamenv list
        os.execvp(given[0], given)
    try:
        arguments, lines = serve_arguments(given, os.environ)
    except (ValueError, RuntimeError) as error:
        sys.exit(f"dreamenv: {error}")
    except OSError as error:
        sys.exit(
            f"dreamenv: {error}; expected {STATE} and {RUN} to be writable for user "
            f"{os.getuid()}: mount a named volume, or chown the folder you mount"
        )
    for line in lines:
        print(f"dreamenv: {line}", file=sys.stderr, flush=True)
    os.execvp("dreamenv", ["dreamenv", "serve", *arguments])


def _config(folder: Path, *extensions: str) -> Path:
    """A whole openssl configuration, so that the system's own adds nothing."""
    config = folder / "openssl.cnf"
    body = ["[req]", "distinguished_name=name", "[name]", "[extensions]", *extensions]
    config.write_text("\n".join((*body, "")), encoding="utf-8")
    return config


def _openssl(*arguments: object) -> None:
    command = shutil.which("openssl")
    if command is None:
        raise RuntimeError("openssl is not installed; give --tls-cert and --tls-key instead")
    done = subprocess.run(
        [command, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed ({done.returncode}): {done.stderr}")


if __name__ == "__main__":
    main()
