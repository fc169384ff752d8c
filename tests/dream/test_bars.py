"""Pictures of vectors: bars as long as their numbers, drawn where no frame is."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import dreamenv  # noqa: F401
from dreamenv.config import PackageConfig
from dreamenv.dream import Dream
from dreamenv.dream.bars import ABOVE, BELOW, MIDDLE, MOST, bars, bars_shape
from dreamenv.packages import load_config, load_package
from dreamenv.pictures import picture_shape, shows_pictures

BOUND = 20.0


def is_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == np.uint8(colour)).all(axis=-1)


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 40)).flatmap(
        lambda shape: arrays.arrays(np.float32, shape, elements=st.floats(-BOUND, BOUND, width=32))
    )
)
def test_a_bar_is_as_long_as_its_number(vectors):
    """Read back from the pixels, on its own side of the middle alone."""
    pictures = bars(vectors, BOUND)
    lanes, count = vectors.shape
    assert pictures.dtype == np.uint8
    assert pictures.shape == (lanes, *bars_shape(count))
    row = pictures.shape[1] // count
    half = pictures.shape[2] // 2
    lines = pictures[:, ::row]
    for colour, side, sign in ((ABOVE, slice(half, None), 1), (BELOW, slice(None, half), -1)):
        painted = is_colour(lines, colour)
        assert painted.sum() == painted[:, :, side].sum()
        length = painted.sum(axis=-1)
        expected = np.arcsinh(np.clip(sign * vectors, 0, None)) / np.arcsinh(BOUND) * half
        assert (np.abs(length - expected) <= 0.5 + 1e-3).all()


def test_the_bound_reaches_the_edge_and_nothing_is_a_line():
    edge, none = bars(np.float32([[BOUND, -BOUND], [0.0, 0.0]]), BOUND)
    top, bottom = edge[0], edge[len(edge) // 2]
    half = len(top) // 2
    assert is_colour(top, ABOVE).tolist()[half:] == [True] * half
    assert is_colour(bottom, BELOW).tolist()[:half] == [True] * half
    assert is_colour(none, MIDDLE).sum() == 2 * len(none)
    assert not (is_colour(none, ABOVE) | is_colour(none, BELOW)).any()


@pytest.mark.parametrize("count", [1, 3, 17, 100, MOST, MOST + 1, 4096])
def test_pictures_stay_small_and_films_can_be_made_of_them(count):
    """Of very long vectors only the first numbers are drawn. Video encoders want even sides."""
    vectors = np.linspace(-1, 1, count, dtype=np.float32)[None]
    (picture,) = bars(vectors, BOUND)
    assert picture.shape == bars_shape(count)
    assert picture.shape[0] <= 480
    assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
    assert np.array_equal(picture, bars(vectors[:, :MOST], BOUND)[0])


def test_a_vector_dream_renders_its_latents(pendulum_package):
    package = load_package(pendulum_package)
    dream = Dream(package, 3, obs="latent")
    dream.reset(seeds=[1, 2, 3])
    shown = dream.step(np.zeros((3, 1), np.float32)).observation
    assert np.array_equal(dream.render(), bars(shown, package.config.latent_bound))
    assert np.array_equal(dream.render([2, 0]), dream.render()[[2, 0]])
    assert dream.render().shape[1:] == picture_shape(package.config)
    again = Dream(package, 3)  # Whatever the policy sees.
    again.reset(seeds=[1, 2, 3])
    again.step(np.zeros((3, 1), np.float32))
    assert np.array_equal(again.render(), dream.render())


def test_a_film_of_a_vector_dream(pendulum_package, tmp_path):
    env = gym.make("Dream-v0", model=str(pendulum_package), render_mode="rgb_array")
    filmed = gym.wrappers.RecordVideo(env, str(tmp_path / "films"), disable_logger=True)
    filmed.reset(seed=0)
    for _ in range(3):
        filmed.step(filmed.action_space.sample())
    filmed.close()
    (film,) = tmp_path.glob("films/*.mp4")
    assert film.stat().st_size > 0


@pytest.mark.parametrize(
    ("shape", "dtype", "shown"),
    [
        ([8, 9], "uint8", (8, 9, 3)),
        ([8, 9, 1], "uint8", (8, 9, 3)),
        ([8, 9, 3], "uint8", (8, 9, 3)),
        ([8, 9, 4], "uint8", None),
        ([8], "uint8", None),
        ([8], "float32", None),
    ],
)
def test_what_can_be_shown(pendulum_package, shape, dtype, shown):
    given = load_config(pendulum_package).model_dump()
    config = PackageConfig(**(given | {"observation_shape": shape, "observation_dtype": dtype}))
    assert shows_pictures(config) == (shown is not None)
    assert picture_shape(config) == (shown or bars_shape(config.latent))
