"""One dream server and three learners, each on a host of its own, over TLS and with a token.

The hosts are network namespaces (root, Linux). Each learner trains a small PPO through the wire,
with a seed of its own; then the same three are trained in process, and every weight must be the
same to the bit.

    python examples/three_learners.py
    python examples/three_learners.py --timesteps 20000 --lanes 16
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from hosts import Host, NoHosts, star
from rich.console import Console
from rich.table import Table
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

PORT = 50051
SERVED = "lesson"
"""The dream's name on the server, whatever it is here."""
ENTRYPOINT = Path(__file__).parents[1] / "server" / "entrypoint.py"
# One thread a process: bits are equal where fingerprints are, and threads are in them.
QUIET = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True)
class Lesson:
    """What each learner does."""

    dream: str = "Dream-CarRacing-v0"
    lanes: int = 8
    timesteps: int = 4096
    """Decisions in the dream, all lanes together."""


@dataclass(frozen=True)
class Learnt:
    """What became of it."""

    digest: str
    """SHA-256 over the policy's weights."""
    returns: list[float]
    """Of the last episodes."""
    seconds: float


def learn(envs: VecEnv, lesson: Lesson, seed: int) -> Learnt:
    """Train a small PPO from scratch; the seed decides all of it."""
    envs = VecMonitor(envs)
    model = PPO("MlpPolicy", envs, n_steps=64, batch_size=128, n_epochs=4, seed=seed, device="cpu")
    began = time.monotonic()
    model.learn(lesson.timesteps)
    seconds = time.monotonic() - began
    envs.close()
    digest = hashlib.sha256()
    for name, weights in sorted(model.policy.state_dict().items()):
        digest.update(name.encode() + weights.numpy().tobytes())
    returns = [float(episode["r"]) for episode in model.ep_info_buffer or ()]
    return Learnt(digest.hexdigest(), returns, seconds)


def learn_far(lesson: Lesson, seed: int, server: str) -> Learnt:
    """What a learner's host runs. It needs the client and Stable-Baselines3, not the library;
    the certificate to trust and the token are in its environment."""
    from dreamenv_client.remote_sb3 import RemoteDreamVecEnv

    return learn(RemoteDreamVecEnv(SERVED, lesson.lanes, server=server), lesson, seed)


def learn_near(lesson: Lesson, seed: int) -> Learnt:
    """The same in this process, without a server."""
    import dreamenv.sb3

    return learn(dreamenv.sb3.DreamVecEnv(lesson.dream, lesson.lanes), lesson, seed)


@contextmanager
def serving(host: Host, lesson: Lesson, folder: Path) -> Iterator[dict[str, str]]:
    """A server on the host, as its container runs it; gives what a learner's environment needs."""
    state = {"DREAMENV_STATE": str(folder), "DREAMENV_RUN": str(folder / "run")}
    environment = QUIET | state | {"DREAMENV_HOSTS": host.address}
    command = [sys.executable, str(ENTRYPOINT), "--model", f"{SERVED}={lesson.dream}"]
    command += ["--address", f"{host.address}:{PORT}", "--threads", "1"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    server = host.start(command, environment | {"PATH": path})
    try:
        assert server.stdout is not None
        if not server.stdout.readline():  # `serving … on …`, once it does
            raise RuntimeError(f"the server ended with status {server.wait()}; see above")
        token = (folder / "tokens").read_text(encoding="ascii").strip().partition(":")[2]
        yield {"DREAMENV_CA": str(folder / "ca" / "ca.pem"), "DREAMENV_TOKEN": token}
    finally:
        server.terminate()
        server.communicate(timeout=60)


def learn_on(hosts: list[Host], lesson: Lesson, server: str, known: dict[str, str]) -> list[Learnt]:
    """All learners at once, each on its host and with its own seed.

    Raises:
        RuntimeError: one failed.
    """
    command = [sys.executable, __file__, "--server", server, "--lesson", json.dumps(asdict(lesson))]
    learners = [
        host.start([*command, "--seed", str(seed)], QUIET | known)
        for seed, host in enumerate(hosts)
    ]
    said = [learner.communicate()[0] for learner in learners]
    failed = [learner.args for learner in learners if learner.returncode]
    if failed:
        raise RuntimeError(f"expected every learner to finish; failed: {failed}")
    return [Learnt(**json.loads(lines.splitlines()[-1])) for lines in said]


def run(lesson: Lesson) -> bool:
    """Whether what was learnt afar is what is learnt in process. Prints a table.

    Raises:
        NoHosts: see :func:`hosts.star`.
    """
    with (
        star("server", "learner1", "learner2", "learner3") as (middle, *others),
        tempfile.TemporaryDirectory() as folder,
        serving(middle, lesson, Path(folder)) as known,
    ):
        far = learn_on(others, lesson, f"{middle.address}:{PORT}", known)
    near = [
        Learnt(**json.loads(_here(lesson, seed).splitlines()[-1])) for seed in range(len(others))
    ]
    table = Table("host", "seed", "seconds", "mean return", "SHA-256", "in process")
    alike = [
        a.digest == b.digest and a.returns == b.returns for a, b in zip(far, near, strict=True)
    ]
    for seed, (host, one, same) in enumerate(zip(others, far, alike, strict=True)):
        mean = f"{sum(one.returns) / len(one.returns):.2f}" if one.returns else "–"
        verdict = "the same" if same else "[red]another"
        cells = (host.address, str(seed), f"{one.seconds:.1f}", mean, one.digest[:16], verdict)
        table.add_row(*cells)
    Console().print(table)
    return all(alike)


def _here(lesson: Lesson, seed: int) -> str:
    command = [sys.executable, __file__, "--lesson", json.dumps(asdict(lesson))]
    done = subprocess.run(
        [*command, "--seed", str(seed)],
        env={**os.environ, **QUIET},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dream", default=Lesson.dream)
    parser.add_argument("--lanes", type=int, default=Lesson.lanes)
    parser.add_argument("--timesteps", type=int, default=Lesson.timesteps)
    # What this program starts itself as, on the learners' hosts.
    for hidden in ("--lesson", "--seed", "--server"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.lesson is None:
        try:
            same = run(Lesson(asked.dream, asked.lanes, asked.timesteps))
        except NoHosts as error:
            print(f"skipped: {error}")
            return
        sys.exit(0 if same else "expected the same weights as in process, found others")
    lesson, seed = Lesson(**json.loads(asked.lesson)), int(asked.seed)
    learnt = (
        learn_near(lesson, seed) if asked.server is None else learn_far(lesson, seed, asked.server)
    )
    print(json.dumps(asdict(learnt)))


if __name__ == "__main__":
    main()
