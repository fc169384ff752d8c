"""Addresses, tokens and TLS: what is sent to whom, and what ends up in files."""

from __future__ import annotations

import copy
import pickle

import dreamenv_client
import gymnasium as gym
import numpy as np
import pytest
import trustme
from dreamenv_client import AccessRefused, RemoteDreamEnv, RemoteDreamVectorEnv, ServerUnavailable
from dreamenv_client.remote_sb3 import RemoteDreamVecEnv
from dreamenv_client.server_config import ServerConfig
from far_server import FarServer

TOKEN = "a-secret-of-this-test-0123456789"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("DREAMENV_TOKEN", raising=False)
    monkeypatch.delenv("DREAMENV_CA", raising=False)


@pytest.fixture(scope="module")
def guarded(packages, tmp_path_factory):
    """A server with TLS, client certificates and a token."""
    folder = tmp_path_factory.mktemp("guarded")
    authority = trustme.CA()
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("learner")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, cert in (("server", server), ("client", client)):
        cert.private_key_pem.write_to_path(folder / f"{name}.key")
        cert.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        (folder / f"{name}.key").chmod(0o600)
    (folder / "tokens").touch(mode=0o600)
    (folder / "tokens").write_text(f"us:{TOKEN}\n")
    (folder / "token").touch(mode=0o600)
    (folder / "token").write_text(f"{TOKEN}\n")
    config = dict(
        tls_cert=str(folder / "server.pem"),
        tls_key=str(folder / "server.key"),
        tls_client_ca=str(folder / "ca.pem"),
        token_file=str(folder / "tokens"),
    )
    with FarServer(folder, [str(packages["lively"])], **config) as far:
        far.folder = folder
        yield far


@pytest.fixture
def certificates(guarded):
    folder = guarded.folder
    return dict(
        tls=str(folder / "ca.pem"),
        client_cert=str(folder / "client.pem"),
        client_key=str(folder / "client.key"),
    )


@pytest.mark.parametrize("how", ["token", "token_file", "environment"])
def test_who_has_the_certificate_and_the_token_is_let_in(guarded, certificates, monkeypatch, how):
    known = dict(certificates)
    if how == "token":
        known["token"] = TOKEN
    elif how == "token_file":
        known["token_file"] = str(guarded.folder / "token")
    else:
        monkeypatch.setenv("DREAMENV_TOKEN", TOKEN)
        monkeypatch.setenv("DREAMENV_CA", known.pop("tls"))
    env = RemoteDreamEnv("lively", server=guarded.address, **known)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()
    envs = RemoteDreamVecEnv("lively", 2, server=guarded.address, **known)
    assert envs.reset().shape == (2, 12)
    envs.close()


def test_others_are_not_and_are_told_why(guarded, certificates, monkeypatch):
    server = guarded.address
    for token in (None, "another-secret-of-this-test-0123"):
        with pytest.raises(AccessRefused, match=r"refused the token.*DREAMENV_TOKEN"):
            RemoteDreamEnv("lively", server=server, token=token, **certificates)
    quick = dict(server=server, token=TOKEN, reconnect_seconds=0)
    with pytest.raises(ServerUnavailable, match="both sides agree on TLS"):
        RemoteDreamEnv("lively", **quick)
    with pytest.raises(ServerUnavailable, match="both sides agree on TLS"):
        RemoteDreamEnv("lively", tls=certificates["tls"], **quick)
    with pytest.raises(ServerUnavailable, match="both sides agree on TLS"):
        RemoteDreamEnv("lively", tls=True, **quick)  # no authority of this system's
    with pytest.raises(OSError, match="nowhere"):
        RemoteDreamEnv("lively", server=server, token_file="nowhere", **certificates)


def test_a_token_stays_out_of_pickles_and_specs(guarded, certificates, monkeypatch):
    envs = RemoteDreamVectorEnv("lively", 2, server=guarded.address, token=TOKEN, **certificates)
    held = envs._lanes.source.open.server
    assert TOKEN not in repr(held)
    assert TOKEN not in repr(envs._lanes.source)
    dumped = pickle.dumps(envs)
    assert TOKEN.encode() not in dumped
    first, _ = envs.reset(seed=0)
    twin = copy.deepcopy(envs)  # in this process, which has it
    np.testing.assert_array_equal(twin.reset(seed=0)[0], first)
    again = pickle.loads(dumped)  # noqa: S301
    with pytest.raises(AccessRefused, match="DREAMENV_TOKEN"):
        again.reset(seed=0)
    monkeypatch.setenv("DREAMENV_TOKEN", TOKEN)
    np.testing.assert_array_equal(again.reset(seed=0)[0], first)
    for made in (envs, twin, again):
        made.close()
    for make, names in (
        (gym.make, {"id": "dreamenv_client:RemoteDream-v0", "dream": "lively"}),
        (gym.make_vec, {"id": "dreamenv_client:RemoteDream-v0", "dream": "lively"}),
        (gym.make, {"id": "Dream-v0", "model": "lively"}),
        (gym.make_vec, {"id": "Dream-v0", "model": "lively"}),
    ):
        with pytest.raises(ValueError, match=r"token= would be written into env.spec.*token_file"):
            make(**names, server=guarded.address, token=TOKEN)


def test_a_token_does_not_cross_a_network_unencrypted():
    for address in ("gpu-box:50051", "10.0.0.1:1", "[2001:db8::1]:1"):
        with pytest.raises(ValueError, match=r"would go to .* unencrypted; expected TLS"):
            ServerConfig(address, token=TOKEN).metadata()
        sent = (("authorization", f"Bearer {TOKEN}"),)
        assert ServerConfig(address, token=TOKEN, insecure=True).metadata() == sent
        assert ServerConfig(address, token=TOKEN, tls=True).metadata() == sent
        assert ServerConfig(address).metadata() == ()
        with pytest.raises(ValueError, match="unencrypted"):
            RemoteDreamEnv("lively", server=address, token=TOKEN, tls=False)
    for address in ("127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1", "unix:/tmp/x"):
        assert ServerConfig(address, token=TOKEN).metadata()


@pytest.mark.parametrize(
    "address",
    ["", "gpu-box", ":1", "host:", "host:port", "a:b:1", "http://host:1", "h h:1", None, 5],
)
def test_addresses(address):
    with pytest.raises(ValueError, match=r'server is .*; expected "host:port"'):
        dreamenv_client.RemoteDreamEnv("lively", server=address)
