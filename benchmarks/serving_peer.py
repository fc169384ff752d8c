"""The same dream behind dm-env-rpc, as its examples have it: a thread and a world a client.

    PEER_PYTHON benchmarks/serving_peer.py SITE_PACKAGES PACKAGE CLIENTS

Runs under a Python that has dm-env-rpc (``pip install dm-env-rpc`` into an environment of its own)
and borrows all else from SITE_PACKAGES. Says where it serves and, serialised, what a client sends.
"""

from __future__ import annotations

import importlib.metadata
import json
import random
import site
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from dm_env_rpc.v1 import dm_env_rpc_pb2 as pb
from dm_env_rpc.v1 import dm_env_rpc_pb2_grpc, spec_manager, tensor_utils

STEPS = 16
HORIZON = 10_000_000
KINDS = ("create_world", "join_world", "reset", "step")


class Worlds(dm_env_rpc_pb2_grpc.EnvironmentServicer):
    """Each client has a dream of one lane."""

    def __init__(self, folder: str) -> None:
        from dreamenv.packages import load_package

        self._package = load_package(folder)
        self._turn = threading.Lock()
        """Threads that step one at a time get twice as far as 64 that fight for the interpreter."""
        config = self._package.config
        action = config.action.space()
        observation = config.observation_space("features")
        self.specs = pb.ActionObservationSpecs(
            actions={1: spec("action", action.shape, pb.FLOAT)},
            observations={
                1: spec("observation", observation.shape, pb.FLOAT),
                2: spec("reward", (), pb.FLOAT),
                3: spec("termination_probability", (), pb.FLOAT),
            },
        )

    def Process(
        self, request_iterator: Iterator[pb.EnvironmentRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.EnvironmentResponse]:
        from dreamenv.dream import Dream

        actions = spec_manager.SpecManager(self.specs.actions)
        observations = spec_manager.SpecManager(self.specs.observations)
        dream: Any = None
        shown: Any = None
        for request in request_iterator:
            kind = request.WhichOneof("payload")
            if kind == "create_world":
                yield pb.EnvironmentResponse(create_world={"world_name": "dream"})
            elif kind == "join_world":
                with self._turn:
                    dream = Dream(self._package, 1, termination="none", horizon=HORIZON)
                yield pb.EnvironmentResponse(join_world={"specs": self.specs})
            elif kind == "reset":
                shown = dream.reset(seeds=[0])
                yield pb.EnvironmentResponse(reset={"specs": self.specs})
            elif kind == "step":
                action = actions.unpack(request.step.actions)["action"]
                with self._turn:
                    shown = dream.step(action[None])
                probability = shown.info["termination_probability"][0]
                packed = observations.pack(
                    {
                        "observation": shown.observation[0],
                        "reward": shown.reward[0],
                        "termination_probability": probability,
                    }
                )
                wanted = request.step.requested_observations
                yield pb.EnvironmentResponse(
                    step={"state": pb.RUNNING, "observations": {uid: packed[uid] for uid in wanted}}
                )
            else:
                raise ValueError(f"a client sent {kind}; expected one of {KINDS}")


def spec(name: str, shape: tuple[int, ...], dtype: int) -> pb.TensorSpec:
    return pb.TensorSpec(name=name, shape=shape, dtype=dtype)


def main() -> None:
    site.addsitedir(sys.argv[1])  # after this environment's own packages
    worlds = Worlds(sys.argv[2])
    server = grpc.server(ThreadPoolExecutor(int(sys.argv[3]) + 1))
    dm_env_rpc_pb2_grpc.add_EnvironmentServicer_to_server(worlds, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    opening = [
        pb.EnvironmentRequest(create_world={}),
        pb.EnvironmentRequest(join_world={"world_name": "dream"}),
        pb.EnvironmentRequest(reset={}),
    ]
    draw, shape = random.Random(0), list(worlds.specs.actions[1].shape)
    steps = []
    for _ in range(STEPS):
        action = [draw.uniform(-1, 1) for _ in range(shape[0])]
        tensor = tensor_utils.pack_tensor(action, dtype=pb.FLOAT)
        steps.append(
            pb.EnvironmentRequest(
                step={"requested_observations": [1, 2, 3], "actions": {1: tensor}}
            )
        )
    told = {
        "address": f"127.0.0.1:{port}",
        "opening": [message.SerializeToString().hex() for message in opening],
        "steps": [message.SerializeToString().hex() for message in steps],
        "versions": {
            name: importlib.metadata.version(name) for name in ("dm-env-rpc", "grpcio", "protobuf")
        },
    }
    print("peer", json.dumps(told), flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
