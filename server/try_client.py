"""What `server/try_image.sh` lets a learner's machine do: come in rightly and wrongly, and dream.

Needs dreamenv-client alone; where the library is installed too, every step is compared with the
same dream in process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.util import find_spec
from typing import Any

import gymnasium as gym
import numpy as np
from dreamenv_client import AccessRefused, RemoteError

REMOTE = "dreamenv_client:RemoteDream-v0"


def refused(what: str, error: type[Exception], **keywords: Any) -> None:
    """Expect it to fail so, by the first reset."""
    try:
        env = gym.make(REMOTE, **keywords)
        try:
            env.reset(seed=0)
        finally:
            env.close()
    except error as found:
        print(f"{what}: refused: {type(found).__name__}: {str(found)[:200]}")
    else:
        sys.exit(f"{what}: expected to be refused, was served")


def trajectory(env: gym.Env[Any, Any], steps: int) -> list[Any]:
    """All that a seeded dream shows in so many decisions."""
    env.action_space.seed(7)
    observation, info = env.reset(seed=7)
    shown: list[Any] = [observation, info]
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        shown += [observation, reward, terminated, truncated, info]
        if terminated or truncated:
            shown += env.reset()
    env.close()
    return shown


def differing(one: list[Any], other: list[Any]) -> int:
    """Of two trajectories, how many entries are not the same to the bit."""
    assert len(one) == len(other)
    return sum(
        not np.array_equal(a, b) if isinstance(a, np.ndarray) else repr(a) != repr(b)
        for a, b in zip(one, other, strict=True)
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--server", required=True)
    parser.add_argument("--dream", required=True)
    parser.add_argument("--ca", required=True, help="whom to trust, PEM")
    parser.add_argument("--token", required=True, help="a file")
    parser.add_argument("--cert", help="to show to a server that asks for one, PEM")
    parser.add_argument("--key")
    parser.add_argument("--steps", type=int, default=500)
    asked = parser.parse_args()

    right = {"server": asked.server, "dream": asked.dream, "tls": asked.ca}
    if asked.cert is not None:
        refused("no certificate", RemoteError, **right, token_file=asked.token)
        right |= {"client_cert": asked.cert, "client_key": asked.key}
    with tempfile.NamedTemporaryFile("w") as wrong:
        wrong.write("wrong" * 8)
        wrong.flush()
        refused("a wrong token", AccessRefused, **right, token_file=wrong.name)
    refused("no token", AccessRefused, **right)
    refused("no encryption", RemoteError, **(right | {"tls": False}))

    right["token_file"] = asked.token
    far = trajectory(gym.make(REMOTE, **right), asked.steps)
    print(f"{asked.steps} steps of {asked.dream} from {asked.server}")
    if find_spec("dreamenv") is None:
        return
    import dreamenv  # noqa: F401  (registers the ids)

    near = trajectory(gym.make(asked.dream), asked.steps)
    count = differing(far, near)
    print(f"the same dream in process: {count} of {len(far)} entries differ")
    if count:
        sys.exit("expected none to differ: same machine, torch and threads")


if __name__ == "__main__":
    main()
