"""Sends a server what nobody should, and counts what it answers."""

from __future__ import annotations

import contextlib
import random
import secrets
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
from dreamenv_client.v1 import dream_pb2 as pb
from grpc import StatusCode
from mutations import Mutations, http2_garbage
from raw_dreams import CODES, OWN_CONNECTION, SERVICE
from raw_session import FIELDS
from raw_tensors import some_actions, tensor

PROPER = {
    StatusCode.OK,
    StatusCode.INVALID_ARGUMENT,
    StatusCode.NOT_FOUND,
    StatusCode.FAILED_PRECONDITION,
    StatusCode.ABORTED,
    StatusCode.RESOURCE_EXHAUSTED,
    StatusCode.PERMISSION_DENIED,
    StatusCode.UNIMPLEMENTED,
}
"""What a server in good health may answer, whatever it is sent."""
SECONDS = 30.0
"""In which every answer must come."""
WEIGHTS = {
    "bent call": 40,
    "bent bytes": 15,
    "random bytes": 4,
    "bent stream": 15,
    "bent rollout": 8,
    "bent opening": 8,
    "bent snapshot": 8,
    "garbage on the port": 4,
}
"""How often each kind of case comes."""


class Attacker:
    """Of one server; every case is a function of the seed and of what the server answered.

    ``answers`` counts by kind of case and status code; ``faults`` holds what was answered in no
    proper way: the kind, the code, what the server said, and the bytes that were sent.
    """

    def __init__(self, address: str, model: str, seed: int, token: str | None = None) -> None:
        self.address, self.model = address, model
        self.answers: Counter[tuple[str, StatusCode]] = Counter()
        self.faults: list[tuple[str, StatusCode, str, bytes]] = []
        self.told: set[str] = set()
        """What refusals said; the first ten thousand."""
        self._luck = random.Random(seed)
        self._mutations = Mutations(seed)
        self._metadata = [] if token is None else [("authorization", f"Bearer {token}")]
        self._blob = b""
        self._channel = grpc.insecure_channel(address, OWN_CONNECTION)
        self._calls = {}
        for method in SERVICE.methods:
            arity = ("unary", "stream")[method.client_streaming]
            arity += ("_unary", "_stream")[method.server_streaming]
            name = f"/{SERVICE.full_name}/{method.name}"
            self._calls[method.name] = getattr(self._channel, arity)(name)
        request = pb.GetModelRequest(name=model).SerializeToString()
        found = pb.Model.FromString(self._unary("GetModel", request)[1])
        self._space = found.action_space
        (self._frame,) = (o.space.box.shape for o in found.observations if o.kind == "pixels")
        self._open()

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Attacker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attack(self, cases: int) -> None:
        """Send so many cases, one after another."""
        for number in range(cases):
            if number % 50 == 0:
                self._open()
            (kind,) = self._luck.choices(list(WEIGHTS), list(WEIGHTS.values()))
            getattr(self, "_" + kind.replace(" ", "_"))(kind)

    def _open(self) -> None:
        """A session to bend the calls of: most are of one that lives."""
        if hasattr(self, "_session"):
            close = pb.CloseSessionRequest(header=pb.Header(session=self._session))
            self._unary("CloseSession", close.SerializeToString())
        request = self._opening()
        request.lanes, request.observation, request.lease_seconds = 3, "", 5.0
        code, reply = self._unary("OpenSession", request.SerializeToString())
        if code is not StatusCode.OK:
            self._note("opening", code, reply.decode(errors="replace"), b"")
            return
        info = pb.SessionInfo.FromString(reply)
        self._session, self._epoch, self._seq = info.session, info.epoch, 0
        for method in ("Reset", "Snapshot"):
            request = self._call(method)
            code, reply = self._unary(method, request.SerializeToString())
            self._seq += code is StatusCode.OK
        self._blob = pb.SnapshotReply.FromString(reply).snapshot if code is StatusCode.OK else b""

    def _unary(self, method: str, request: bytes) -> tuple[StatusCode, bytes]:
        try:
            reply = self._calls[method](request, timeout=SECONDS, metadata=self._metadata)
        except grpc.RpcError as error:
            return error.code(), (error.details() or "").encode()
        return StatusCode.OK, reply

    def _note(self, kind: str, code: StatusCode, told: str, sent: bytes) -> None:
        self.answers[kind, code] += 1
        if code is not StatusCode.OK and len(self.told) < 10_000:
            self.told.add(told)
        if code not in PROPER or (code is not StatusCode.OK and not told):
            self.faults.append((kind, code, told, sent))

    def _header(self) -> pb.Header:
        return pb.Header(session=self._session, epoch=self._epoch, seq=self._seq + 1)

    def _opening(self) -> pb.OpenSessionRequest:
        return pb.OpenSessionRequest(
            model=self.model,
            lanes=self._luck.randint(1, 4),
            observation=self._luck.choice(("features", "latent", "pixels", "")),
            knobs=pb.Knobs(fixed_temperature=1.0, horizon=50, termination="sample"),
            starts="any",
            request_id=secrets.token_bytes(16),
            lease_seconds=0.2,
        )

    def _call(self, method: str) -> Any:
        """A valid request, mostly, with all its fields."""
        luck, few = self._luck.randrange(2**32), pb.LaneIndices(index=[2, 0])
        mask = tensor(np.array([True, False, True]))
        own = tensor(np.array([1, -1, 2**40], np.int64))
        actions = tensor(some_actions(self._space, luck, 3))
        frames = np.random.default_rng(luck).integers(0, 256, (2, 3, *self._frame), np.uint8)
        options = pb.Options(start=tensor(np.array([0, 1, 2], np.int64)))
        if luck % 3 == 0:
            taken = tensor(some_actions(self._space, luck, 2))
            options = pb.Options(observations=tensor(frames[0]), actions=taken)
        fields: dict[str, dict[str, Any]] = {
            "Step": dict(actions=actions, reset=mask, seeds=own, options=options),
            "Reset": dict(mask=mask, seeds=own, options=options),
            "Configure": dict(
                lanes=few,
                knobs=pb.Knobs(
                    drawn_temperature=pb.Range(low=0.5, high=1.5),
                    termination="threshold",
                    termination_temperature=2.0,
                    horizon=100,
                ),
            ),
            "Snapshot": dict(lanes=few),
            "Restore": dict(snapshot=self._blob),
            "Branch": dict(source=few, target=pb.LaneIndices(index=[0, 1]), seeds=_two()),
            "Render": dict(lanes=few),
            "Filter": dict(observations=tensor(frames[1]), actions=actions, begin=mask),
        }
        if method in ("Step", "Reset", "Filter") and luck % 2:
            fields[method] = {
                k: fields[method][k] for k in ("actions", "observations") if k in fields[method]
            }
            if method == "Filter":
                fields[method]["begin"] = tensor(np.ones(3, np.bool_))
        if method == "Reset" and self._seq == 0:
            return pb.ResetRequest(header=self._header())
        if method == "Snapshot" and self._seq == 1:
            return pb.SnapshotRequest(header=self._header())
        return getattr(pb, f"{method}Request")(header=self._header(), **fields[method])

    def _bent_call(self, kind: str) -> None:
        method = self._luck.choice([*FIELDS, "Step", "Step", "RenewLease", "GetModel"])
        if method in FIELDS:
            request = self._call(method)
        elif method == "RenewLease":
            request = pb.RenewLeaseRequest(header=self._header())
        else:
            request = pb.GetModelRequest(name=self.model)
        self._send(kind, method, self._mutations.bend(request).SerializeToString())

    def _bent_bytes(self, kind: str) -> None:
        method = self._luck.choice(list(FIELDS))
        self._send(kind, method, self._mutations.bytes(self._call(method).SerializeToString()))

    def _random_bytes(self, kind: str) -> None:
        methods = [m.name for m in SERVICE.methods if not m.server_streaming]
        self._send(
            kind, self._luck.choice(methods), self._luck.randbytes(self._luck.randrange(300))
        )

    def _bent_opening(self, kind: str) -> None:
        request = self._mutations.bend(self._opening()).SerializeToString()
        code, reply = self._unary("OpenSession", request)
        self._note(kind, code, reply.decode(errors="replace"), request)
        if code is StatusCode.OK and self._luck.random() < 0.9:  # the others expire
            opened = pb.SessionInfo.FromString(reply).session
            close = pb.CloseSessionRequest(header=pb.Header(session=opened))
            self._unary("CloseSession", close.SerializeToString())

    def _bent_snapshot(self, kind: str) -> None:
        blob = bytearray(self._blob)
        if blob and self._luck.random() < 0.5:
            blob[self._luck.randrange(len(blob))] ^= 1 << self._luck.randrange(8)
        else:
            blob = bytearray(self._mutations.bytes(bytes(blob)))
        request = pb.RestoreRequest(header=self._header(), snapshot=bytes(blob))
        self._send(kind, "Restore", request.SerializeToString())

    def _bent_rollout(self, kind: str) -> None:
        luck = self._luck.randrange(2**32)
        request = pb.RolloutRequest(
            header=self._header(),
            lanes=pb.LaneIndices(index=[0, 2]),
            actions=tensor(some_actions(self._space, luck, 2, 5)),
            seeds=_two(),
        )
        sent = self._mutations.bend(request).SerializeToString()
        if luck % 4 == 0:
            sent = self._mutations.bytes(sent)
        replies = self._calls["Rollout"](sent, timeout=SECONDS, metadata=self._metadata)
        if luck % 5 == 0:
            replies.cancel()
        code, told, _ = _drained(replies)
        if code is StatusCode.CANCELLED and luck % 5 == 0:
            code = StatusCode.OK
        self._note(kind, code, told, sent)

    def _bent_stream(self, kind: str) -> None:
        """A few messages, the first of which attaches, mostly; in any order."""
        luck, messages = self._luck, []
        attach = pb.SessionRequest(attach=pb.AttachRequest(session=self._session))
        for place in range(luck.randrange(1, 6)):
            method = luck.choice(list(FIELDS))
            message = pb.SessionRequest(seq=self._seq + luck.choice((0, 1, 1, 1, 2, 3)))
            getattr(message, FIELDS[method]).CopyFrom(self._call(method))
            getattr(message, FIELDS[method]).ClearField("header")
            if (place == 0) != (luck.random() < 0.1):
                message = attach
            bent = message if place == 0 and luck.random() < 0.8 else self._mutations.bend(message)
            sent = bent.SerializeToString()
            messages.append(self._mutations.bytes(sent) if luck.random() < 0.1 else sent)
        replies = self._calls["Session"](iter(messages), timeout=SECONDS, metadata=self._metadata)
        if luck.random() < 0.1:
            replies.cancel()
        code, told, seen = _drained(replies)
        for data in seen:
            reply = pb.SessionReply.FromString(data)
            self._epoch = reply.attached.epoch or self._epoch
            if reply.HasField("error"):
                self._note(kind, CODES[reply.error.code], reply.error.message, b"\n".join(messages))
            else:
                self._seq = max(self._seq, reply.seq)
        self._note(
            kind,
            StatusCode.OK if code is StatusCode.CANCELLED else code,
            told,
            b"\n".join(messages),
        )

    def _garbage_on_the_port(self, kind: str) -> None:
        host, port = self.address.rsplit(":", 1)
        garbage = http2_garbage(self._luck)
        with (
            contextlib.suppress(ConnectionError),
            socket.create_connection((host, int(port)), timeout=SECONDS) as client,
        ):
            client.sendall(garbage)
            if self._luck.random() < 0.3:
                client.settimeout(0.01)
                with contextlib.suppress(TimeoutError):
                    client.recv(1000)
        self.answers[kind, StatusCode.OK] += 1

    def _send(self, kind: str, method: str, request: bytes) -> None:
        code, reply = self._unary(method, request)
        self._note(kind, code, reply.decode(errors="replace"), request)
        if code is StatusCode.OK and method in FIELDS:
            self._seq += 1
        elif code in (StatusCode.NOT_FOUND, StatusCode.ABORTED, StatusCode.FAILED_PRECONDITION):
            self._find()

    def _find(self) -> None:
        """Where the session stands, after a bent call that may have been a right one."""
        attach = pb.SessionRequest(attach=pb.AttachRequest(session=self._session))
        sent = iter([attach.SerializeToString()])
        _, _, seen = _drained(self._calls["Session"](sent, metadata=self._metadata))
        if seen:
            info = pb.SessionReply.FromString(seen[0]).attached
            self._epoch, self._seq = info.epoch, info.last_seq
        else:
            self._open()


def _two() -> pb.Tensor:
    return tensor(np.array([5, 6], np.int64))


def _drained(replies: Iterator[bytes]) -> tuple[StatusCode, str, list[bytes]]:
    """Status, what was told with it, and all replies before it."""
    seen = []
    try:
        for reply in replies:
            seen.append(reply)
    except grpc.RpcError as error:
        return error.code(), error.details() or "", seen
    return StatusCode.OK, "", seen
