"""Deterministic lanes in numpy, and the same dream again as a plain env that knows no lanes."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from dreamenv_client import LaneSnapshot, LaneSource, LaneStep, check_actions

BOX = gym.spaces.Box(-1, 1, (2,))
DISCRETE = gym.spaces.Discrete(3)
FEATURES = gym.spaces.Box(-1, 1, (3,))
PIXELS = gym.spaces.Box(0, 255, (48, 48, 3), np.uint8)

# How an action pushes the three numbers of the state.
BOX_PUSH = np.array([[0.5, 0.1, 0.0], [0.0, -0.3, 0.4]], np.float32)
DISCRETE_PUSH = np.array([[-0.5, 0.0, 0.2], [0.0, 0.0, 0.0], [0.3, 0.3, -0.3]], np.float32)


def episode_plan(seed: int, episode: int, shortest: int) -> tuple[np.ndarray, int, bool]:
    """First state, length, and whether it terminates (or is truncated)."""
    rng = np.random.default_rng([seed, episode])
    length = int(rng.integers(shortest, shortest + 6))
    return rng.uniform(-0.5, 0.5, 3).astype(np.float32), length, bool(rng.integers(2))


def noise(seed: int, episode: int, clock: int) -> np.ndarray:
    return np.random.default_rng([seed, episode, clock]).normal(size=3).astype(np.float32)


def picture(state: np.ndarray) -> np.ndarray:
    """Three bands, as bright as the state's numbers."""
    bands = np.repeat(((state + 1) * 127).astype(np.uint8), 16)
    return np.broadcast_to(bands[:, None, None], (48, 48, 3)).copy()


class ToyLanes:
    """See :class:`dreamenv_client.Lanes`."""

    def __init__(
        self, num_lanes: int, *, discrete: bool = False, pixels: bool = False, shortest: int = 3
    ) -> None:
        self.num_lanes = num_lanes
        self.observation_space = PIXELS if pixels else FEATURES
        self.action_space = DISCRETE if discrete else BOX
        self.shortest = shortest
        self.process = os.getpid()
        self.closed = False
        self.calls: list[str] = []
        self.arrays: dict[str, np.ndarray] = {
            "x": np.zeros((num_lanes, 3), np.float32),
            "seed": np.full(num_lanes, -1),
            "episode": np.zeros(num_lanes, np.int64),
            "clock": np.zeros(num_lanes, np.int64),
            "terminated": np.zeros(num_lanes, bool),
            "truncated": np.zeros(num_lanes, bool),
            "temperature": np.ones(num_lanes, np.float32),
            "horizon": np.full(num_lanes, 1000),
        }

    def reset(self, mask=None, seeds=None, options=None) -> LaneStep:
        self._enter("reset")
        mask = np.ones(self.num_lanes, bool) if mask is None else mask
        self._begin(mask, seeds, options)
        return self._shown(np.zeros(self.num_lanes, np.float32))

    def step(self, actions, reset=None, seeds=None, options=None) -> LaneStep:
        self._enter("step")
        own = self.arrays
        actions = check_actions(self.action_space, actions, self.num_lanes, reset)
        going = np.ones(self.num_lanes, bool) if reset is None else ~reset
        if (going & (own["terminated"] | own["truncated"] | (own["seed"] < 0))).any():
            raise RuntimeError("a lane that is over, or never began, was stepped")
        reward = np.zeros(self.num_lanes, np.float32)
        for lane in np.flatnonzero(going):
            seed, episode, clock = (int(own[k][lane]) for k in ("seed", "episode", "clock"))
            push = DISCRETE_PUSH[actions[lane]] if actions.ndim == 1 else actions[lane] @ BOX_PUSH
            spread = 0.1 * np.sqrt(own["temperature"][lane])
            x = np.float32(0.8) * np.roll(own["x"][lane], 1) + push
            own["x"][lane] = np.clip(x + spread * noise(seed, episode, clock), -1, 1)
            reward[lane] = own["x"][lane].sum(dtype=np.float32) + np.float32(clock)
            _, length, terminates = episode_plan(seed, episode, self.shortest)
            own["clock"][lane] = clock = clock + 1
            own["terminated"][lane] = clock >= length and terminates
            own["truncated"][lane] = not own["terminated"][lane] and (
                clock >= length or clock >= own["horizon"][lane]
            )
        if reset is not None:
            self._begin(reset, seeds, options)
        return self._shown(reward)

    def set_knobs(self, lanes=None, **knobs: Any) -> None:
        self._enter("set_knobs")
        check_knobs(**knobs)
        for name, value in knobs.items():
            self.arrays[name][slice(None) if lanes is None else list(lanes)] = value

    def snapshot(self, lanes=None) -> LaneSnapshot:
        self._enter("snapshot")
        which = list(range(self.num_lanes)) if lanes is None else list(lanes)
        return LaneSnapshot("toy", {name: array[which] for name, array in self.arrays.items()})

    def restore(self, snapshot, lanes=None) -> LaneStep:
        self._enter("restore")
        if snapshot.model != "toy":
            raise ValueError(f"a snapshot of {snapshot.model!r}; expected 'toy'")
        which = list(range(self.num_lanes)) if lanes is None else list(lanes)
        for name, array in snapshot.arrays.items():
            self.arrays[name][which] = array
        return self._shown(np.zeros(self.num_lanes, np.float32))

    def branch(self, source, target, seeds=None) -> LaneStep:
        self._enter("branch")
        shown = self.restore(self.snapshot(source), target)
        if seeds is not None:
            self.arrays["seed"][list(target)] = seeds
        return shown

    def render(self, lanes=None) -> np.ndarray:
        self._enter("render")
        which = range(self.num_lanes) if lanes is None else lanes
        return np.stack([picture(self.arrays["x"][lane]) for lane in which])

    def close(self) -> None:
        self.closed = True

    def __reduce__(self):
        raise TypeError("lanes hold threads and channels: they do not pickle")

    def _enter(self, call: str) -> None:
        assert self.process == os.getpid(), "lanes of another process were used"
        assert not self.closed, "closed lanes were used"
        self.calls.append(call)

    def _begin(self, mask, seeds, options) -> None:
        own, options = self.arrays, dict(options or {})
        start = options.pop("start", None)
        if options:
            raise ValueError(f"unknown option {sorted(options)}; expected start")
        for lane in np.flatnonzero(mask):
            if seeds is not None and seeds[lane] is not None:
                own["seed"][lane], own["episode"][lane] = seeds[lane], 0
            elif own["seed"][lane] < 0:
                own["seed"][lane], own["episode"][lane] = np.random.SeedSequence().pool[0], 0
            else:
                own["episode"][lane] += 1
            seed, episode = int(own["seed"][lane]), int(own["episode"][lane])
            own["x"][lane] = episode_plan(seed, episode, self.shortest)[0]
            if start is not None:
                own["x"][lane] = np.broadcast_to(start, self.num_lanes)[lane] / 10
            own["clock"][lane] = own["terminated"][lane] = own["truncated"][lane] = 0

    def _shown(self, reward) -> LaneStep:
        own = self.arrays
        if self.observation_space is PIXELS or self.observation_space == PIXELS:
            observation = np.stack([picture(x) for x in own["x"]])
        else:
            observation = own["x"].copy()
        return LaneStep(
            observation,
            reward,
            own["terminated"].copy(),
            own["truncated"].copy(),
            {"clock": own["clock"].copy(), "x": own["x"].copy(), "late": own["clock"] > 2},
        )


def check_knobs(**knobs: Any) -> None:
    for name, value in knobs.items():
        if name not in ("temperature", "horizon") or value < 0:
            raise ValueError(f"{name} is {value}; expected a temperature or horizon of at least 0")


def toy_source(**how: Any) -> LaneSource:
    """A source of toy lanes; keywords as of :class:`ToyLanes`."""
    return LaneSource(
        PIXELS if how.get("pixels") else FEATURES,
        DISCRETE if how.get("discrete") else BOX,
        partial(ToyLanes, **how),
        render_fps=12.5,
    )


class PlainToy(gym.Env):
    """The toy dream, written out for one lane with no lanes in it."""

    observation_space = FEATURES
    action_space = BOX

    def __init__(self, shortest: int = 3) -> None:
        self.shortest = shortest

    def reset(self, *, seed=None, options=None):
        if seed is None:
            self.episode += 1
        else:
            self.seed, self.episode = seed, 0
        self.x, self.length, self.terminates = episode_plan(self.seed, self.episode, self.shortest)
        self.clock = 0
        return self.x.copy(), self._info()

    def step(self, action):
        drift = 0.1 * np.sqrt(np.float32(1)) * noise(self.seed, self.episode, self.clock)
        moved = np.float32(0.8) * self.x[[2, 0, 1]] + np.asarray(action, np.float32) @ BOX_PUSH
        self.x = np.clip(moved + drift, -1, 1).astype(np.float32)
        reward = float(self.x.sum(dtype=np.float32) + np.float32(self.clock))
        self.clock += 1
        over = self.clock >= self.length
        return (
            self.x.copy(),
            reward,
            over and self.terminates,
            over and not self.terminates,
            self._info(),
        )

    def _info(self):
        return {"clock": np.int64(self.clock), "x": self.x.copy(), "late": self.clock > 2}


def run(env, actions):
    """Every answer of an env, reset by hand; equal runs are equal dreams."""
    answers = []
    for action in actions:
        answers.append(env.step(action))
        if answers[-1][2] or answers[-1][3]:
            answers.append(env.reset())
    return answers


def some_actions(steps, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (steps, 2)).astype(np.float32)
