"""A session that its server has forgotten, begun again where it was."""

from __future__ import annotations

import copy

from dreamenv_client.errors import ModelChanged, SessionLost, retry_after
from dreamenv_client.journal import HEAD, LANES_TAG, Journal, renumbered, same_lanes
from dreamenv_client.opening import CALL_SECONDS, close_session, open_session
from dreamenv_client.patience import Patience
from dreamenv_client.server_config import ServerConfig
from dreamenv_client.stream import Stream
from dreamenv_client.v1 import dream_pb2 as pb


def bring_back(
    config: ServerConfig,
    request: pb.OpenSessionRequest,
    lost: pb.SessionInfo,
    journal: Journal,
    shown: bytes,
    patience: Patience,
) -> tuple[Stream, int]:
    """A new session in the state of a lost one.

    Args:
        request: what the lost one was opened with.
        lost: what the server said of it then.
        journal: how to get there.
        shown: the last reply with a ``LaneStep``; the new session must show the same, bitwise.

    Returns:
        A stream attached to it, and the number of its last call.

    Raises:
        SessionLost: the server cannot, or would go on otherwise.
        StreamBroken, ServerUnavailable: the connection broke; nothing has changed.
    """
    again = copy.deepcopy(request)
    info = open_session(config, again, patience)
    stream = None
    try:
        for name in ("identity", "fingerprint"):
            now, then = getattr(info.model, name), getattr(lost.model, name)
            if now != then:
                raise ModelChanged(
                    f"{config.address} was restarted with another {name} of {info.model.name}: "
                    f"{now!r}; expected {then!r}. The dream would not go on as it was: close() and "
                    "reset() to begin anew, or serve the same model on the same kind of machine."
                )
        stream = Stream(config, info.session, CALL_SECONDS)
        seq, again_shown, restored = 0, b"", False
        for number, message in enumerate(journal.replay()):
            seq += 1
            reply = _asked(config, stream, renumbered(message, seq))
            if reply[HEAD] == LANES_TAG:
                again_shown, restored = reply, number == 0 and journal.base is not None
        if shown and not same_lanes(shown, again_shown, restored=restored):
            raise ModelChanged(
                f"{config.address} was restarted, and the calls since the last snapshot now lead "
                "elsewhere: its numerics have changed. close() and reset() to begin anew."
            )
    except BaseException:
        if stream is not None:
            stream.close()
        close_session(config, info.session)
        raise
    return stream, seq


def _asked(config: ServerConfig, stream: Stream, message: bytes) -> bytes:
    """The answer to one call of the journal."""
    patience = Patience(CALL_SECONDS)
    while True:
        reply = stream.exchange(message)
        parsed = None if reply[HEAD] == LANES_TAG else pb.SessionReply.FromString(reply)
        if parsed is None or not parsed.HasField("error"):
            return reply
        wait = retry_after(parsed.error.code, parsed.error.message)
        if wait is None or not patience.pause(wait):
            raise SessionLost(
                f"{config.address} was restarted and cannot go on with the session: "
                f"{parsed.error.message} close() and reset() to begin anew."
            )
