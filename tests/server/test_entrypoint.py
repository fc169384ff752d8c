"""The container's entry: certificates that real TLS accepts, and secrets that stay secret."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from dreamenv_server.auth import Tokens

ENTRYPOINT = Path(__file__).parents[2] / "server" / "entrypoint.py"
spec = importlib.util.spec_from_file_location("entrypoint", ENTRYPOINT)
assert spec is not None
assert spec.loader is not None
entrypoint = importlib.util.module_from_spec(spec)
spec.loader.exec_module(entrypoint)

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")


@pytest.fixture
def state(tmp_path) -> Path:
    (tmp_path / "state").mkdir(mode=0o700)
    return tmp_path / "state"


def served(given, state, hosts="gpu-box 10.1.2.3", run="run") -> tuple[list[str], list[str]]:
    return entrypoint.serve_arguments(given, {"DREAMENV_HOSTS": hosts}, state, state.parent / run)


def value(arguments: list[str], flag: str) -> str:
    assert arguments.count(flag) == 1
    return arguments[arguments.index(flag) + 1]


def greet(certificate: str, key: str, authority: Path, host: str) -> bytes:
    """What a TLS client that trusts the authority hears from ``host``."""
    ours, theirs = socket.socketpair()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)

    def serve() -> None:
        try:
            with serving.wrap_socket(theirs, server_side=True) as wire:
                wire.sendall(b"hello")
        except (ssl.SSLError, OSError):
            pass  # The client hung up: that is what is looked at there.
        finally:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        trusting = ssl.create_default_context(cafile=str(authority))
        with trusting.wrap_socket(ours, server_hostname=host) as wire:
            return wire.recv(5)
    finally:
        ours.close()
        thread.join()


@needs_openssl
@pytest.mark.parametrize("host", ["gpu-box", "10.1.2.3", "localhost", "127.0.0.1", "::1"])
def test_tls_clients_that_trust_its_authority_are_served(state, host):
    arguments, _ = served([], state)
    cert, key = value(arguments, "--tls-cert"), value(arguments, "--tls-key")
    assert greet(cert, key, state / "ca" / "ca.pem", host) == b"hello"


@needs_openssl
def test_another_name_is_refused(state):
    arguments, _ = served([], state)
    cert, key = value(arguments, "--tls-cert"), value(arguments, "--tls-key")
    with pytest.raises(ssl.SSLCertVerificationError, match="elsewhere"):
        greet(cert, key, state / "ca" / "ca.pem", "elsewhere")


@needs_openssl
def test_restart_keeps_authority_and_token_and_takes_new_names(state):
    before, _ = served([], state)
    kept = {
        path: path.read_bytes()
        for path in (state / "ca" / "ca.pem", state / "ca" / "ca.key", state / "tokens")
    }
    after, _ = served([], state, hosts="moved-box", run="another")
    assert {path: path.read_bytes() for path in kept} == kept
    assert value(after, "--token-file") == value(before, "--token-file")
    cert, key = value(after, "--tls-cert"), value(after, "--tls-key")
    assert greet(cert, key, state / "ca" / "ca.pem", "moved-box") == b"hello"


@needs_openssl
def test_secrets_are_the_owners_alone_and_not_in_the_log(state):
    arguments, lines = served([], state)
    client, token = (state / "tokens").read_text().strip().split(":")
    assert Tokens(state / "tokens").client(token) == client
    assert len(token) >= 43  # 256 bits
    assert token not in " ".join([*arguments, *lines])
    assert any(str(state / "tokens") in line for line in lines)
    for secret in (state / "tokens", state / "ca" / "ca.key", Path(value(arguments, "--tls-key"))):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600, secret
    assert sorted(path.name for path in state.iterdir()) == ["ca", "tokens"]  # no scratch left


@needs_openssl
def test_two_containers_on_one_volume_agree(state):
    """Both start at once: whoever is second takes the first one's authority and token."""
    code = (
        "import sys; from pathlib import Path; import entrypoint as e;"
        "state = Path(sys.argv[1]);"
        "print((e.make_authority(state) / 'ca.pem').read_text(), e.make_tokens(state).read_text())"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(state)],
            cwd=ENTRYPOINT.parent,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    said = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0] * 4
    assert len(said) == 1


def test_arguments_win_and_nothing_is_made_in_their_place(state):
    given = ["--tls-cert=a.pem", "--tls-key", "a.key", "--token-file", "t", "--lanes", "64"]
    given += ["--address=0.0.0.0:1234", "--metrics-address", "127.0.0.1:1"]
    arguments, lines = served(given, state)
    assert arguments[-len(given) :] == given
    made = arguments[: -len(given)]
    assert made[::2] == ["--key-file", "--health-address"]
    assert lines == []
    assert list(state.iterdir()) == []


def test_insecure_makes_no_secrets(state):
    arguments, _ = served(["--insecure"], state)
    assert not {"--tls-cert", "--token-file"} & set(arguments)
    assert list(state.iterdir()) == []


@pytest.mark.parametrize("hosts", ["gpu-box:50051", "a b/c", "x,\nDNS:evil]", "-a"])
def test_bad_hosts_are_named(hosts, state):
    with pytest.raises(ValueError, match="DREAMENV_HOSTS has"):
        entrypoint.subject_names(hosts)


def test_unwritable_volume_says_so(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(entrypoint, "serve_arguments", lambda *_: (tmp_path / "file" / "x").mkdir())
    monkeypatch.setattr(sys, "argv", ["entrypoint.py"])
    monkeypatch.setattr(entrypoint.os, "umask", lambda _: 0)
    with pytest.raises(SystemExit, match="named volume"):
        entrypoint.main()
