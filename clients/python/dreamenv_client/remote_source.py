"""Where a remote dream's lanes come from. No grpc before it is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from dreamenv_client.knobs import KNOBS, check_knobs, check_starts
from dreamenv_client.server_config import ServerConfig
from dreamenv_client.source import LaneSource

if TYPE_CHECKING:
    from dreamenv_client.remote_lanes import RemoteLanes
    from dreamenv_client.v1 import dream_pb2 as pb


class ServerKnobs(TypedDict, total=False):
    """Keyword arguments beside ``server=``, all JSON values. None is as if left out."""

    token_file: str | None
    """Path of a file that holds the token; the environment's ``DREAMENV_TOKEN`` if left out."""
    tls: bool | str | None
    """True, or the path of a file of certificates to trust; the environment's ``DREAMENV_CA`` if
    left out."""
    client_cert: str | None
    """Path of the certificate to show a server that asks for one; with ``client_key``."""
    client_key: str | None
    insecure: bool | None
    """Send a token unencrypted, to another host too."""
    reconnect_seconds: float | None
    """How long to try to get a broken connection back: 60 if left out."""
    snapshot_every: int | None
    """Keep a snapshot, taken anew after so many steps, and the steps since, so that the env goes on
    even if the server is restarted. Without it only a broken connection is survived."""


SERVER_KNOBS = tuple(ServerKnobs.__annotations__)
OF_THE_SERVER = ("uncertainty", "propagation", "device", "compile", "pad_rows")
"""Keywords of a dream that its server decides."""


class RemoteKnobs(ServerKnobs, total=False):
    """Keyword arguments of a remote dream, all JSON values. None is as if left out."""

    obs: str | None
    """What is observed: ``"features"`` (if left out), ``"latent"`` or ``"pixels"``."""
    temperature: float | list[float] | None
    """A number from 0 (the mode) through 1 (as trained) to 100, or [low, high], drawn anew for
    each episode. The model's own if left out, as all that follows."""
    termination: str | None
    """``"sample"``, ``"threshold"`` or ``"none"``."""
    termination_temperature: float | None
    """Divides the logit of the predicted termination."""
    horizon: int | None
    """Decisions after which an episode is truncated."""
    trust_penalty: float | None
    """Taken off the reward of a decision of which the model is as unsure as of the 95th percentile
    of held-out real ones, and in proportion off others'. Models that cannot tell take 0 alone."""
    trust_limit: float | None
    """Episodes are truncated where the model is less sure: up to 1, than this quantile of held-out
    real decisions; above 1, than so many times the least sure of them; 0 for never."""
    starts: str | None
    """``"first"``: begin where real episodes began; or ``"any"``, also called ``"bank"``: at any
    recorded moment of the model's bank. With a short ``horizon``: branches from all over it."""


@dataclass(frozen=True)
class RemoteOpening:
    """Opens lanes on a server when called: connects, and imports grpc, no sooner."""

    server: ServerConfig
    dream: str
    obs: str
    knobs: Mapping[str, Any]
    """See :func:`dreamenv_client.knobs.check_knobs`."""
    starts: str | None = None
    reconnect_seconds: float | None = None
    snapshot_every: int | None = None
    identity: Callable[[], str] | None = None
    """Tells the model's, if the server must have that one."""

    def __call__(self, num_lanes: int) -> RemoteLanes:
        from dreamenv_client.connection import RECONNECT_SECONDS, Connection
        from dreamenv_client.errors import ModelChanged
        from dreamenv_client.remote_lanes import RemoteLanes
        from dreamenv_client.v1 import dream_pb2 as pb
        from dreamenv_client.wire import to_knobs

        request = pb.OpenSessionRequest(
            model=self.dream,
            lanes=num_lanes,
            observation=self.obs,
            knobs=to_knobs(self.knobs),
            starts=self.starts or "",
        )
        seconds = self.reconnect_seconds
        connection = Connection(
            self.server,
            request,
            reconnect_seconds=RECONNECT_SECONDS if seconds is None else seconds,
            snapshot_every=self.snapshot_every,
        )
        try:
            found = connection.info.model.identity
            expected = found if self.identity is None else self.identity()
            if found != expected:
                raise ModelChanged(
                    f"{self.server.address} serves a {self.dream} of identity {found}; expected "
                    f"{expected}, which is the one here. Have the same version of the model "
                    "on both sides."
                )
            return RemoteLanes(connection, self.obs)
        except BaseException:
            connection.close()
            raise


def remote_source(
    server: str,
    dream: str,
    *,
    token: str | None = None,
    max_episode_steps: int | None = None,
    **knobs: Unpack[RemoteKnobs],
) -> LaneSource:
    """Spaces of a dream on a server, asked for over a channel that is closed again, and how to open
    its lanes.

    Args:
        server: ``"host:port"``.
        dream: a name under which the server has a model.
        token: the server's token, kept out of pickles. ``token_file`` or the environment's
            ``DREAMENV_TOKEN`` reach worker processes too.
        max_episode_steps: the most decisions an episode may have, whatever the horizon; None, or
            -1 as ``gym.make`` has it, for no limit but that.
        knobs: see :class:`RemoteKnobs`.

    Raises:
        ValueError: a bad knob, address or TLS setting.
        TypeError: an unknown keyword.
        RemoteError: no server there, it refuses, or it has no such model.
    """
    given = {name: value for name, value in knobs.items() if value is not None}
    refuse_others(given)
    model = served_model(server, dream, token=token, **given)
    from dreamenv_client.spaces import from_space

    spaces = {seen.kind: seen.space for seen in model.observations}
    obs = given.get("obs", "features")
    if not isinstance(obs, str) or obs not in spaces:
        known = ", ".join(f'"{kind}"' for kind in spaces)
        raise ValueError(f"obs: expected one of {known}, got {obs!r}")
    return LaneSource(
        observation_space=from_space(spaces[obs]),
        action_space=from_space(model.action_space),
        open=opening(
            server,
            dream,
            token=token,
            max_episode_steps=max_episode_steps,
            horizon=model.defaults.horizon,
            knobs=given,
        ),
        render_fps=model.steps_per_second,
        check_knobs=check_knobs,
    )


def opening(
    server: str,
    dream: str,
    *,
    token: str | None = None,
    max_episode_steps: int | None,
    horizon: int,
    knobs: Mapping[str, Any],
    identity: Callable[[], str] | None = None,
) -> RemoteOpening:
    """What opens a dream's lanes on a server, everything about it checked that can be here.

    Args:
        horizon: the model's own.
        knobs: see :class:`RemoteKnobs`; none is None.
        identity: tells the model's, if the server must have that one.

    Raises:
        ValueError: a bad knob, address or TLS setting.
    """
    own = check_knobs(**{name: value for name, value in knobs.items() if name in KNOBS})
    if max_episode_steps not in (None, -1):
        check_knobs(horizon=max_episode_steps)
        own["horizon"] = min(max_episode_steps, own.get("horizon", horizon))
    every, seconds = knobs.get("snapshot_every"), knobs.get("reconnect_seconds")
    if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
        raise ValueError(f"snapshot_every is {every!r}; expected a whole number of at least 1.")
    if seconds is not None and not (isinstance(seconds, int | float) and 0 <= seconds < 1e6):
        raise ValueError(f"reconnect_seconds is {seconds!r}; expected a number of at least 0.")
    return RemoteOpening(
        server_config(server, token=token, **knobs),
        dream,
        knobs.get("obs", "features"),
        own,
        starts=check_starts(knobs["starts"]) if "starts" in knobs else None,
        reconnect_seconds=seconds,
        snapshot_every=every,
        identity=identity,
    )


def served_model(server: str, dream: str, *, token: str | None = None, **knobs: Any) -> pb.Model:
    """All that a server says of a model. Leaves no channel open, so that a fork may follow.

    Raises:
        ValueError: a bad address or TLS setting.
        RemoteError: no server there, it refuses, or it has no such model.
    """
    config = server_config(server, token=token, **knobs)
    seconds = knobs.get("reconnect_seconds")
    from dreamenv_client.opening import OPEN_SECONDS, ask
    from dreamenv_client.patience import Patience
    from dreamenv_client.v1 import dream_pb2 as pb

    request = pb.GetModelRequest(name=dream)
    patience = Patience(OPEN_SECONDS if seconds is None else min(OPEN_SECONDS, seconds))
    model: pb.Model = ask(config, "GetModel", request, pb.Model, patience)
    return model


def server_config(server: str, *, token: str | None = None, **knobs: Any) -> ServerConfig:
    """The server that ``server=`` and the keywords beside it name.

    Raises:
        ValueError: no address, or keywords that do not go together.
    """
    own = ("token_file", "tls", "client_cert", "client_key", "insecure")
    given = {name: knobs[name] for name in own if knobs.get(name) is not None}
    return ServerConfig(server, token=token, **given)


def refuse_others(knobs: Mapping[str, Any]) -> None:
    """Refuse keywords that are none of a remote dream's.

    Raises:
        ValueError: one that the server decides, or the token itself.
        TypeError: an unknown one.
    """
    if taken := [name for name in OF_THE_SERVER if name in knobs]:
        raise ValueError(
            f"{taken[0]} is for the server to decide (dreamenv serve --help); expected it left out "
            "beside server=."
        )
    if "token" in knobs:
        raise ValueError(
            "token= would be written into env.spec, and from there into files; expected "
            "token_file= with a path, or the token in the environment's DREAMENV_TOKEN."
        )
    if "data" in knobs:
        raise ValueError(
            "data= is for a dream in this process: a server reads no files of yours; expected it "
            'left out beside server=. reset(options={"observations": …, "actions": …}) starts a '
            "remote dream in real data."
        )
    known = RemoteKnobs.__annotations__
    if unknown := sorted(set(knobs) - set(known)):
        raise TypeError(f"unknown keywords {unknown}; a remote dream takes {', '.join(known)}")
