"""What can go wrong with a dream that is far away, beyond what can with one in process.

Bad input raises what a local dream raises for it (``ValueError``, or ``RuntimeError`` for a lane
that cannot be stepped), in the server's words. The rest is here. No grpc is imported.
"""

from __future__ import annotations

import re
from enum import IntEnum


class Code(IntEnum):
    """Status codes of ``google.rpc.Code``."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class RemoteError(RuntimeError):
    """Base of what is raised because a dream is far away."""


class ServerUnavailable(RemoteError):
    """No server answered for as long as was waited."""


class AccessRefused(RemoteError):
    """The server does not know the token, or the session or snapshot is another client's."""


class ServerFull(RemoteError):
    """No lanes are free, or a quota of this client is used up."""


class NotServed(RemoteError):
    """The server has no such model, or cannot do that."""


class SessionLost(RemoteError):
    """The server has forgotten the session: its lease is over, or the server was restarted."""


class ModelChanged(SessionLost):
    """The server's model, or the numerics it runs on, is not what the session was begun with."""


def refusal(code: int, message: str, server: str) -> Exception:
    """The exception that a status code of a server stands for.

    >>> refusal(3, "lane 0: action is 7", "gpu:50051")
    ValueError('lane 0: action is 7')
    """
    match code:
        case Code.INVALID_ARGUMENT:
            return ValueError(message)
        case Code.FAILED_PRECONDITION:
            return RuntimeError(message)
        case Code.UNAUTHENTICATED:
            return AccessRefused(
                f"{server} refused the token: {message} Set DREAMENV_TOKEN, or token_file= to a "
                "file that holds the server's token."
            )
        case Code.PERMISSION_DENIED:
            return AccessRefused(f"{server} refused: {message}")
        case Code.RESOURCE_EXHAUSTED:
            return ServerFull(f"{server} has no room: {message}")
        case Code.NOT_FOUND | Code.UNIMPLEMENTED:
            return NotServed(f"{server}: {message}")
        case Code.UNAVAILABLE | Code.DEADLINE_EXCEEDED:
            return ServerUnavailable(f"{server} does not answer: {message}")
    name = Code(code).name if code in list(Code) else str(code)
    return RemoteError(f"{server} failed with {name}: {message}")


def retry_after(code: int, message: str) -> float | None:
    """Seconds after which the same call may succeed, if that is a matter of time.

    >>> retry_after(8, "steps per second of a client: … Try again in 0.250 s.")
    0.25
    >>> retry_after(8, "sessions of a client: … Close one first.")
    """
    found = re.search(r"again in (\d+(?:\.\d+)?) s", message)
    return float(found[1]) if found and code == Code.RESOURCE_EXHAUSTED else None
