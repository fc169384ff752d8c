"""The real env as declared: bitwise what a plain loop over the unmodified env gives."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamenv.config import ActionRepeat, Crop, Pick, RealSpec, RescaleAction, Resize
from dreamenv.errors import DataError
from dreamenv.frame_steps import AreaResize
from dreamenv.preprocess import build_env
from dreamenv.real_specs import load_real_spec

CAR = "CarRacing-v3"
RESCALE = RescaleAction(low=[-1, 0, -1], high=[1, 1, 1])


class Shapes(gym.Env[Any, Any]):
    """Shows and takes whatever spaces it is given."""

    def __init__(self, observation: Any, action: Any, render_mode: str | None = None) -> None:
        self.observation_space, self.action_space = observation, action
        self.render_mode = render_mode
        self.taken: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.np_random.integers(0, 256, self.observation_space.shape, np.uint8), {"a": 1}

    def step(self, action: Any) -> Any:
        self.taken.append(action)
        frame = self.np_random.integers(0, 256, self.observation_space.shape, np.uint8)
        return frame, 1.0, False, False, {"b": 2}


FRAMES = gym.spaces.Box(0, 255, (6, 9, 3), np.uint8)
INTS = gym.spaces.Box(0, 9, (4,), np.int64)
TWO = gym.spaces.Box(np.float32([-1, 0]), np.float32([1, 4]))


@pytest.fixture
def shapes(monkeypatch):
    """Registers a Shapes env of the given spaces, for one test."""

    def register(observation: Any = FRAMES, action: Any = TWO) -> str:
        spec = EnvSpec(
            "TestShapes-v0",
            lambda **kwargs: Shapes(observation, action, **kwargs),
            max_episode_steps=10,
        )
        monkeypatch.setitem(gym.registry, "TestShapes-v0", spec)
        return "TestShapes-v0"

    return register


def place_at_edge(car: Any) -> None:
    """Put the car just inside the playing field, driving out of it."""
    for body in (car.hull, *car.wheels):
        body.position = (332.0, 0.0)
        body.linearVelocity = (30.0, 0.0)


def finish_lap(env: Any) -> None:
    """All tiles but the one ahead count as visited."""
    env.tile_visited_count = len(env.track)


@pytest.mark.parametrize(
    ("seed", "limit", "disturb", "ends_after"),
    [(1, 22, None, 2), (5, 8, None, 4), (2, None, "edge", None), (3, None, "lap", 1)],
)
def test_action_repeat_is_bitwise_a_plain_loop(monkeypatch, seed, limit, disturb, ends_after):
    """Frames, rewards and ends, with an end inside a repeat (time limit, field left, lap done)."""
    spec = RealSpec(env_id=CAR, preprocessing=[ActionRepeat(times=4), RESCALE])
    make = gym.make

    def make_limited(env_id: str, **kwargs: Any) -> Any:
        return make(env_id, **(kwargs | ({"max_episode_steps": limit} if limit else {})))

    monkeypatch.setattr(gym, "make", make_limited)
    ours = build_env(spec)
    plain = gym.make(CAR, disable_env_checker=True)
    assert np.array_equal(ours.reset(seed=seed)[0], plain.reset(seed=seed)[0])
    drawn = []
    draw = type(plain.unwrapped)._create_image_array
    monkeypatch.setattr(
        type(plain.unwrapped),
        "_create_image_array",
        lambda self, *rest: (drawn.append(self), draw(self, *rest))[1],
    )
    rng = np.random.default_rng(seed)
    over, decisions = False, 0
    while not over:
        if decisions == 2 and disturb is not None:
            for env in (ours.unwrapped, plain.unwrapped):
                place_at_edge(env.car) if disturb == "edge" else finish_lap(env)
        action = rng.uniform(-1, 1, 3).astype(np.float32)
        real = np.clip(action * [1, 0.5, 1] + [0, 0.5, 0], [-1, 0, 0], 1).astype(np.float32)
        total = 0.0
        used = 0
        while used < 4:
            used += 1
            frame, reward, terminated, truncated, _ = plain.step(real)
            total += float(reward)
            if terminated or truncated:
                break
        seen, summed, *ends, info = ours.step(action)
        assert np.array_equal(seen, frame)
        assert summed == total
        assert ends == [terminated, truncated]
        assert info["real_steps"] == used
        over = terminated or truncated
        decisions += 1
    assert drawn.count(ours.unwrapped) == decisions
    assert drawn.count(plain.unwrapped) == 4 * (decisions - 1) + used
    if ends_after is not None:
        assert used == ends_after
    else:
        assert (terminated, used < 4) == (True, True)
    # The next episode is as true as the first.
    assert np.array_equal(ours.reset(seed=9)[0], plain.reset(seed=9)[0])


def test_other_envs_are_drawn_every_frame(shapes):
    env = build_env(RealSpec(env_id=shapes(), preprocessing=[ActionRepeat(times=4)]))
    env.reset(seed=0)
    env.step(np.zeros(2, np.float32))
    assert len(env.unwrapped.taken) == 4


def test_the_declared_car_racing():
    env = build_env(load_real_spec(CAR), render_mode="rgb_array")
    assert env.observation_space == gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    assert env.action_space == gym.spaces.Box(-1, 1, (3,), np.float32)
    frame, info = env.reset(seed=0)
    assert info["real_steps"] == 0
    whole = env.unwrapped.state[:84]
    assert np.array_equal(frame, AreaResize((84, 96), (64, 64))(whole))
    after, *_, info = env.step(np.zeros(3, np.float32))
    assert info["real_steps"] == 4
    assert not np.shares_memory(after, frame)
    assert env.render().shape == (400, 600, 3)
    env.close()


@pytest.mark.parametrize("env_id", [CAR, "VizdoomTakeCover-v1"])
def test_the_declared_pace_is_the_envs_own(env_id):
    """Of what its class says of itself."""
    spec = load_real_spec(env_id)
    env = build_env(spec)
    assert spec.frames_per_second == env.unwrapped.metadata["render_fps"]
    env.close()


def test_decisions_are_shown_at_the_pace_of_their_frames():
    repeat = ActionRepeat(times=4)
    spec = RealSpec(env_id=CAR, preprocessing=[repeat], frames_per_second=35)
    assert spec.steps_per_second == 35 / 4
    slow = RealSpec(env_id=CAR, preprocessing=[repeat, repeat], frames_per_second=10)
    assert slow.steps_per_second == 1.0


def test_the_declared_take_cover(tmp_path):
    """Against the env by itself: the same frames, but the black one that it ends with."""
    import vizdoom.gymnasium_wrapper  # noqa: F401

    env = build_env(load_real_spec("VizdoomTakeCover-v1"), render_mode="rgb_array")
    # Told where its settings go, or it leaves them in the working folder.
    plain = gym.make("VizdoomTakeCover-v1", doom_config_path=str(tmp_path / "vizdoom.ini"))
    shrink = AreaResize((160, 320), (64, 64))
    assert env.observation_space == gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    assert env.action_space == gym.spaces.Discrete(3)
    frame, _ = env.reset(seed=3)
    assert np.array_equal(frame, shrink(plain.reset(seed=3)[0]["screen"][40:200]))
    rng, terminated = np.random.default_rng(0), False
    while not terminated:
        before, action = frame, rng.integers(3)
        frame, reward, terminated, truncated, info = env.step(action)
        shown, *expected, _ = plain.step(action)
        assert [reward, terminated, truncated] == expected == [1.0, terminated, False]
        assert info["real_steps"] == 1
        if not terminated:
            assert np.array_equal(frame, shrink(shown["screen"][40:200]))
    assert not shown["screen"].any()
    assert np.array_equal(frame, before)
    assert not np.shares_memory(frame, before)
    env.close()
    plain.close()


@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.sampled_from([(), (1,), (3,)]),
    st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_resize_averages_areas(old, new, channels, seed):
    """Oracle: blow each pixel up to a block, and average whole blocks; halves go up."""
    frame = np.random.default_rng(seed).integers(0, 256, (*old, *channels), dtype=np.uint8)
    large = frame.astype(np.int64).repeat(new[0], axis=0).repeat(new[1], axis=1)
    blocks = large.reshape(new[0], old[0], new[1], old[1], *channels)
    total, area = blocks.sum(axis=(1, 3)), old[0] * old[1]
    resized = AreaResize(old, new)(frame)
    assert resized.dtype == np.uint8
    assert np.array_equal(resized, (2 * total + area) // (2 * area))


def test_resize_is_exact_where_float32_sums_are_not():
    white = np.full((401, 601, 3), 255, np.uint8)
    assert (AreaResize((401, 601), (64, 64))(white) == 255).all()


def test_crop_and_resize_go_in_order(shapes):
    spec = RealSpec(
        env_id=shapes(),
        preprocessing=[
            Crop(top=1, bottom=5, left=3, right=9),
            Resize(height=8, width=6),
            Crop(bottom=4, right=6),
        ],
    )
    env = build_env(spec)
    frame, info = env.reset(seed=3)
    raw = np.random.default_rng(3).integers(0, 256, FRAMES.shape, np.uint8)
    assert np.array_equal(frame, raw[1:3, 3:9].repeat(2, axis=0))
    assert info == {"a": 1, "real_steps": 0}
    assert env.observation_space == gym.spaces.Box(0, 255, (4, 6, 3), np.uint8)


def test_actions_are_mapped_then_cut(shapes):
    """To the declared range and cut to the env's; without a step, to the env's own bounds."""
    step = RescaleAction(low=[-1, -2], high=[1, 2])
    for steps, expected in [([step], [0.5, 1.0]), ([], [0.5, 3.0])]:
        env = build_env(RealSpec(env_id=shapes(), preprocessing=steps))
        env.reset(seed=0)
        env.step(np.array([0.5, 0.5], np.float32))
        assert np.array_equal(env.unwrapped.taken[-1], np.float32(expected))
        assert env.unwrapped.taken[-1].dtype == np.float32
    env = build_env(RealSpec(env_id=shapes(), preprocessing=[step]))
    env.reset(seed=0)
    env.step(np.array([-1, -1], np.float32))
    assert np.array_equal(env.unwrapped.taken[-1], np.float32([-1, 0]))


@pytest.mark.parametrize("action", [[0, 0, 0], [0.0, 1.5], [np.nan, 0], 0.0])
def test_bad_actions_are_refused(shapes, action):
    env = build_env(RealSpec(env_id=shapes()))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action(\[\d\])? (has shape|is) .*; expected"):
        env.step(np.array(action))
    assert env.unwrapped.taken == []


@pytest.mark.parametrize(("limit", "length"), [(None, 3), (2, 2), (5, 5)])
def test_the_limit_counts_decisions_and_replaces_the_envs_own(shapes, limit, length):
    spec = RealSpec(env_id=shapes(), preprocessing=[ActionRepeat(times=4)], max_episode_steps=limit)
    env = build_env(spec)
    env.reset(seed=0)
    truncated, steps = False, 0
    while not truncated:
        truncated, steps = env.step(np.zeros(2, np.float32))[3], steps + 1
    assert steps == length


@pytest.mark.parametrize(
    ("observation", "action", "steps", "message"),
    [
        (gym.spaces.Box(-1, 1, (4, 2)), TWO, [], "expected uint8 frames, or vectors"),
        (gym.spaces.Box(-1, 1, (0,)), TWO, [], "expected uint8 frames, or vectors"),
        (gym.spaces.Box(-1, 1, ()), TWO, [], "expected uint8 frames, or vectors"),
        (gym.spaces.Box(-1, 1, (4,), np.float16), TWO, [], "expected uint8 frames, or vectors"),
        (gym.spaces.Discrete(3), TWO, [], "expected uint8 frames"),
        (FRAMES, TWO, [Pick(key="screen")], "expected a Dict of observations with 'screen'"),
        (gym.spaces.Dict({"a": FRAMES}), TWO, [Pick(key="b")], "expected a Dict .* with 'b'"),
        (gym.spaces.Dict({"a": INTS}), TWO, [Pick(key="a")], "expected uint8 frames"),
        (gym.spaces.Dict({"a": FRAMES}), TWO, [], "a pick step takes them out of a Dict"),
        (FRAMES, gym.spaces.MultiDiscrete([2, 2]), [], "expected Discrete or one-dimensional"),
        (FRAMES, gym.spaces.Discrete(3, start=1), [], "expected a plain Discrete"),
        (FRAMES, gym.spaces.Box(-np.inf, np.inf, (2,)), [], "expected finite low < high"),
        (FRAMES, TWO, [RESCALE], "expected 2 lows and highs, got 3 and 3"),
        (FRAMES, TWO, [RESCALE, RESCALE], "at most one, got 2"),
        (FRAMES, TWO, [Crop(bottom=7, right=9)], "top < bottom ≤ 6"),
        (FRAMES, TWO, [Crop(bottom=6, left=5, right=5)], "left < right ≤ 9"),
        (gym.spaces.Box(0, 255, (7,), np.uint8), TWO, [Resize(height=4, width=4)], "expected fr"),
        (TWO, TWO, [Resize(height=4, width=4)], r"expected frames .*got float32 of shape \(2,\)"),
        (TWO, TWO, [Crop(bottom=1, right=1)], "crop: expected frames"),
    ],
)
def test_what_does_not_fit_is_refused(shapes, observation, action, steps, message):
    spec = RealSpec(env_id=shapes(observation, action), preprocessing=steps)
    with pytest.raises(DataError, match=message):
        build_env(spec)


def test_keywords_that_the_env_does_not_take_are_named():
    with pytest.raises(DataError, match=r"expected keywords that the env takes, got .*colour"):
        build_env(RealSpec(env_id=CAR, kwargs={"colour": 1}))


def test_an_unknown_env_is_named():
    with pytest.raises(DataError, match=r"NoSuchEnv-v0.*expected a registered id"):
        build_env(RealSpec(env_id="NoSuchEnv-v0"))


def test_a_missing_engine_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "vizdoom.gymnasium_wrapper", None)
    with pytest.raises(ImportError, match=r'pip install "dreamenv\[doom\]"'):
        build_env(load_real_spec("VizdoomTakeCover-v1"))


def test_a_missing_package_names_the_extra(monkeypatch):
    def missing(*args: Any, **kwargs: Any) -> None:
        raise gym.error.DependencyNotInstalled("Box2D is not installed")

    monkeypatch.setattr(gym, "make", missing)
    with pytest.raises(ImportError, match=r'pip install "dreamenv\[carracing\]"'):
        build_env(load_real_spec(CAR))


def test_the_display_is_left_to_who_set_it(monkeypatch, shapes):
    import os

    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    build_env(RealSpec(env_id=shapes()), render_mode="human")
    assert "SDL_VIDEODRIVER" not in os.environ
    build_env(RealSpec(env_id=shapes()))
    assert os.environ["SDL_VIDEODRIVER"] == "dummy"
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    build_env(RealSpec(env_id=shapes()))
    assert os.environ["SDL_VIDEODRIVER"] == "x11"


def test_real_specs_are_found_by_id_and_by_file(tmp_path):
    spec = load_real_spec(CAR)
    assert spec.env_id == CAR
    path = tmp_path / "mine.json"
    path.write_text(spec.model_copy(update={"max_episode_steps": 7}).model_dump_json())
    assert load_real_spec(path).max_episode_steps == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected one of CarRacing-v3"),
        ("{", "Invalid JSON"),
        ('{"env_id": "os:system"}', "env_id"),
        ('{"env_id": "A-v0", "preprocessing": [{"name": "exec"}]}', "preprocessing"),
        (" " * 70_000, "at most 65536 bytes"),
    ],
)
def test_a_bad_real_spec_is_refused(tmp_path, content, message):
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        load_real_spec(path)
