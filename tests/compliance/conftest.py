"""The contract, checked on any server: `pytest tests/compliance --address host:port`.

Written from the proto alone, with gRPC and generated messages; without an address, on a server
that is started here.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from dreamenv_client.v1 import dream_pb2 as pb

# Test modules have no package (--import-mode=importlib): let them find raw_*.py by name.
sys.path.insert(0, str(Path(__file__).parent))

from raw_dreams import UNLIMITED, Dreams, Refused
from raw_session import Session, StreamSession, open_request

OPTIONS = {
    "address": "host:port of the server to check; without it, one is started",
    "model": "name of the model to open sessions of; the first in the list if absent",
    "token": "bearer token, if the server asks for one",
    "other-token": "that of another client of the same server",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    for name, what in OPTIONS.items():
        own = os.environ.get(f"DREAM_COMPLIANCE_{name.upper().replace('-', '_')}")
        parser.addoption(f"--{name}", default=own, help=what)


@pytest.fixture(scope="session")
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str | None]]:
    """Where the server is, the tokens and the model, by name of their option."""
    given = {name: request.config.getoption(f"--{name}", default=None) for name in OPTIONS}
    if given["address"] is not None:
        yield given
        return
    from dreamenv_server.server import ServerConfig
    from own_server import TOKENS, OwnServer, write_tokens

    folder = tmp_path_factory.mktemp("served")
    config = ServerConfig(
        "127.0.0.1:0",
        models=tuple(
            str(request.getfixturevalue(name)) for name in ("tiny_package", "unsure_package")
        ),
        lanes=256,
        token_file=write_tokens(folder),
        key_file=folder / "key",
    )
    with OwnServer(config) as own:
        tokens = {"token": TOKENS["us"], "other-token": TOKENS["them"]}
        yield given | tokens | {"address": own.address}


@pytest.fixture(scope="session")
def channel(served: dict[str, str | None]) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(served["address"], options=UNLIMITED) as made:
        grpc.channel_ready_future(made).result(timeout=60)
        yield made


@pytest.fixture(scope="session")
def dreams(channel: grpc.Channel, served: dict[str, str | None]) -> Dreams:
    return Dreams(channel, served["token"])


@pytest.fixture(scope="session")
def model(dreams: Dreams, served: dict[str, str | None]) -> pb.Model:
    """The model that sessions are opened of, with its config."""
    name = served["model"] or dreams.ListModels(pb.ListModelsRequest()).models[0].name
    return dreams.GetModel(pb.GetModelRequest(name=name))


@pytest.fixture
def opened(dreams: Dreams, model: pb.Model) -> Iterator[Callable[..., pb.SessionInfo]]:
    """Opens sessions, which are closed after the test. Episodes do not end by luck in them."""
    infos = []

    def make(lanes: int = 3, *, knobs: pb.Knobs | None = None, **fields: object) -> pb.SessionInfo:
        plain = pb.Knobs(termination="none", fixed_temperature=1.0, horizon=1000)
        plain.MergeFrom(knobs or pb.Knobs())
        infos.append(dreams.OpenSession(open_request(model.name, lanes, knobs=plain, **fields)))
        return infos[-1]

    yield make
    for info in infos:
        dreams.CloseSession(pb.CloseSessionRequest(header=pb.Header(session=info.session)))


@pytest.fixture(params=["unary", "stream"])
def make_session(
    request: pytest.FixtureRequest, dreams: Dreams, opened: Callable[..., pb.SessionInfo]
) -> Iterator[Callable[..., Session]]:
    """Sessions whose calls are made one by one, and then, in a second run, over a stream."""
    made: list[Session] = []

    def make(lanes: int = 3, **fields: object) -> Session:
        kind = StreamSession if request.param == "stream" else Session
        made.append(kind(dreams, opened(lanes, **fields)))
        return made[-1]

    yield make
    for session in made:
        with contextlib.suppress(Refused):  # the test may have ended its stream
            session.close()


@pytest.fixture
def session(make_session: Callable[..., Session]) -> Session:
    """Three lanes, unbegun."""
    return make_session()
