"""The examples run, on tiny packages, and leave and say what they promise."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


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
    from dataclasses import replace

    from dreamenv.packages import save_package

    package = make_package()
    config = package.config
    short = config.real.model_copy(update={"max_episode_steps": 8})
    config = config.model_copy(update={"real": short, "provenance": {"real_steps": 12345}})
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


def test_side_by_side_is_one_episode_seen_in_three_ways(example, tiny_package, tmp_path):
    import imageio.v3 as iio

    import dreamenv

    pictures = example("demo_pictures")

    class Straight:
        """Full throttle."""

        def predict(self, observation, deterministic):
            return np.array([0.0, 1.0, 0.0], np.float32), None

    shown = pictures.drive(Straight(), str(tiny_package), seed=3, steps=6)
    steps, panels, height, width, _ = shown.frames.shape
    assert (steps, panels) == (7, 3)
    real = dreamenv.make_real(tiny_package, obs="pixels", raw=True)
    np.testing.assert_array_equal(shown.frames[0, 0], real.reset(seed=3)[0])
    for step in range(1, 7):
        frame = real.step(np.array([0.0, 1.0, 0.0], np.float32))[0]
        np.testing.assert_array_equal(shown.frames[step, 0], frame)
    real.close()
    # The dream begins as the model sees the real beginning.
    np.testing.assert_array_equal(shown.frames[0, 2], shown.frames[0, 1])

    pictures.save_film(shown, tmp_path / "film.mp4")
    film = iio.imread(tmp_path / "film.mp4")
    enlarged = pictures.ENLARGE
    assert film.shape[1:] == (height * enlarged, panels * width * enlarged, 3)
    assert len(film) == steps
    # Lossy, but nearer to its own panel than to another.
    left = film[-1, :, : width * enlarged].astype(float)
    wanted = shown.frames[-1].repeat(enlarged, 1).repeat(enlarged, 2).astype(float)
    errors = [np.abs(left - panel).mean() for panel in wanted]
    assert np.argmin(errors) == 0


def test_planning_beats_random_plans(example, tiny_package):
    """With exact branches, the best of many plans is paid at least as much as one alone."""
    planning = example("plan_in_a_dream")
    kwargs = dict(horizon=3, decisions=8, seed=1)
    best = planning.plan(str(tiny_package), plans=32, **kwargs)
    alone = planning.plan(str(tiny_package), plans=2, **kwargs)
    assert len(best) == len(alone) == 8
    assert np.isfinite(best).all()
    assert planning.plan(str(tiny_package), plans=32, **kwargs) == best
