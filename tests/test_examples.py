"""The examples run, on tiny packages, and leave and say what they promise."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import gymnasium as gym
import numpy as np
import pytest

from dreamenv.learn_defaults import LearnDefaults
from dreamenv.packages import save_package

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def endless(make_package, tmp_path_factory) -> Path:
    """A tiny package whose dreams end at their horizon alone."""
    package = make_package()
    defaults = package.config.defaults.model_copy(update={"termination": "none"})
    config = package.config.model_copy(update={"defaults": defaults})
    folder = tmp_path_factory.mktemp("endless") / "tiny"
    return save_package(replace(package, config=config), folder, "# tiny\n")


@pytest.fixture
def example(monkeypatch):
    """Imports an example by its file name, as Python does when it runs one."""
    monkeypatch.syspath_prepend(EXAMPLES)

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


def test_demo(example, make_package, tmp_path, capsys):
    package = make_package()
    config = package.config
    short = config.real.model_copy(update={"max_episode_steps": 8})
    steps = {"n_steps": 16, "batch_size": 32, "n_epochs": 1}
    learn = LearnDefaults(num_envs=2, hyperparameters=steps)
    changes = {"real": short, "learn": learn, "provenance": {"real_steps": 12345}}
    config = config.model_copy(update=changes)
    dream = save_package(replace(package, config=config), tmp_path / "tiny", "# tiny\n")
    demo = example("demo")
    demo.run(
        demo.DemoConfig(
            dream=str(dream),
            out=tmp_path / "out",
            timesteps=256,
            tracks=2,
            dream_episodes=4,
            film_steps=5,
            workers=1,
        )
    )
    said = capsys.readouterr().out
    for words in ("dream return", "real return", "random", "12,345", "added by this policy: 0"):
        assert words in said
    # Two policies, two tracks each, 8 decisions of 4 frames.
    assert f"{2 * 2 * 8 * 4} frames" in said
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"policy.zip", "side_by_side.png", "side_by_side.mp4", "curve.png"}


@pytest.mark.parametrize(
    ("provenance", "said"),
    [({}, "unknown;"), ({"real_steps": "a few"}, "a few;"), ({"real_steps": 12345}, "12,345;")],
)
def test_the_demos_table_says_what_it_knows(example, make_package, tmp_path, provenance, said):
    package = make_package()
    config = package.config.model_copy(update={"provenance": provenance})
    dream = save_package(replace(package, config=config), tmp_path / "tiny", "# tiny\n")
    demo = example("demo")
    table = demo.table([], demo.DemoConfig(dream=str(dream)))
    assert f"real frames behind the package: {said}" in table.caption


def test_side_by_side_is_one_episode_seen_in_three_ways(example, endless, tmp_path):
    from moviepy import VideoFileClip

    import dreamenv

    pictures = example("demo_pictures")

    class Straight:
        """Full throttle."""

        def predict(self, observation, deterministic=False):
            return np.array([0.0, 1.0, 0.0], np.float32), None

    shown = pictures.drive(Straight(), str(endless), seed=3, steps=6)
    steps, panels, height, width, _ = shown.frames.shape
    assert (steps, panels) == (7, 3)
    real = dreamenv.make_real(endless, obs="pixels", raw=True)
    np.testing.assert_array_equal(shown.frames[0, 0], real.reset(seed=3)[0])
    for step in range(1, 7):
        frame = real.step(np.array([0.0, 1.0, 0.0], np.float32))[0]
        np.testing.assert_array_equal(shown.frames[step, 0], frame)
    real.close()
    # The dream begins as the model sees the real beginning.
    np.testing.assert_array_equal(shown.frames[0, 2], shown.frames[0, 1])

    pictures.save_film(shown, tmp_path / "film.mp4")
    with VideoFileClip(str(tmp_path / "film.mp4")) as clip:
        film = np.stack(list(clip.iter_frames()))
        decoder = clip.reader.proc
    # moviepy leaves them open where ffmpeg has ended before it looks.
    decoder.stdout.close()
    decoder.stderr.close()
    enlarged = pictures.ENLARGE
    assert film.shape[1:] == (height * enlarged, panels * width * enlarged, 3)
    assert len(film) == steps
    # Lossy, but nearer to its own panel than to another.
    left = film[-1, :, : width * enlarged].astype(float)
    wanted = shown.frames[-1].repeat(enlarged, 1).repeat(enlarged, 2).astype(float)
    errors = [np.abs(left - panel).mean() for panel in wanted]
    assert np.argmin(errors) == 0


def test_a_plan_is_paid_what_its_dream_pays(example, tiny_package):
    """The batch's figures against one dream after another, which end where they end."""
    planning = example("plan_in_a_dream")
    plans = planning.propose(np.random.default_rng(0), plans=5, horizon=7, size=3, hold=3)
    assert (plans[0] == plans[2]).all()
    assert (plans[2] != plans[3]).all()
    envs = gym.make_vec("Dream-v0", model=str(tiny_package), num_envs=5)
    envs.reset(seed=10)
    paid = planning.dream_returns(envs, plans)
    envs.close()
    lengths = set()
    for lane in range(5):
        env = gym.make("Dream-v0", model=str(tiny_package))
        env.reset(seed=10 + lane)
        total, steps, over = np.float32(0.0), 0, False
        while steps < len(plans) and not over:
            _, reward, terminated, truncated, _ = env.step(plans[steps, lane])
            total, steps, over = total + np.float32(reward), steps + 1, terminated or truncated
        env.close()
        lengths.add(steps)
        np.testing.assert_allclose(paid[lane], total, rtol=1e-6)
    assert len(lengths) > 1  # Some dreams ended early.


def test_planning_is_repeatable(example, endless):
    planning = example("plan_in_a_dream")
    kwargs = dict(plans=8, horizon=3, decisions=5)
    first = planning.plan(str(endless), **kwargs)
    assert len(first) == 5
    assert planning.plan(str(endless), **kwargs) == first
    assert planning.plan(str(endless), seed=1, **kwargs) != first
