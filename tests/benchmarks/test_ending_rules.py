import gymnasium as gym
import numpy as np
import pytest
from ending_rules import MARGINS, ends, near

EDGE = 1e-5
"""So close to its boundary a float32 observation may lie on the other side than the state."""


def cart_pole(env, rng):
    env.unwrapped.state = rng.uniform(-1.5, 1.5, 4) * [2.4, 1.0, 0.21, 1.0]


def mujoco(env, rng, scale):
    env = env.unwrapped
    position = env.init_qpos + rng.uniform(-1.0, 1.0, env.model.nq) * scale
    env.set_state(position, rng.uniform(-3.0, 3.0, env.model.nv))


def inverted_pendulum(env, rng):
    mujoco(env, rng, [0.5, 0.4])


def hopper(env, rng):
    mujoco(env, rng, [1.0, 0.7, 0.3, 0.5, 0.5, 0.5])


@pytest.mark.parametrize(
    ("env_id", "put"),
    [
        ("CartPole-v1", cart_pole),
        ("InvertedPendulum-v5", inverted_pendulum),
        ("Hopper-v5", hopper),
    ],
)
def test_the_rule_ends_what_the_env_ends_from_random_states(env_id, put):
    if env_id != "CartPole-v1":
        pytest.importorskip("mujoco")
    rng = np.random.default_rng(0)
    env = gym.make(env_id, disable_env_checker=True).unwrapped
    env.action_space.seed(0)
    observations, terminated = [], []
    for _ in range(1500):
        env.reset(seed=0)
        put(env, rng)
        observation, _, over, _, _ = env.step(env.action_space.sample())
        observations.append(observation)
        terminated.append(over)
    env.close()
    margin = MARGINS[env_id](np.asarray(observations, np.float32))
    clear = np.abs(margin - 1.0) > EDGE
    said, really = ends(margin), np.array(terminated)
    np.testing.assert_array_equal(said[clear], really[clear])
    # Not for want of either, far from the boundary or close to it.
    for part in (clear, clear & near(margin)):
        assert 5 < really[part].sum() < part.sum() - 5


@pytest.mark.parametrize(
    ("env_id", "observation", "number", "bound"),
    [
        ("CartPole-v1", [0.0] * 4, 0, 2.4),
        ("CartPole-v1", [0.0] * 4, 0, -2.4),
        ("CartPole-v1", [0.0] * 4, 2, np.deg2rad(12)),
        ("InvertedPendulum-v5", [0.0] * 4, 1, -0.2),
        ("Hopper-v5", [1.25] + [0.0] * 10, 1, 0.2),
        ("Hopper-v5", [1.25] + [0.0] * 10, 3, 100.0),
    ],
)
def test_margins_are_shares_of_the_bound(env_id, observation, number, bound):
    rows = np.tile(np.array(observation), (4, 1))
    shares = np.array([0.5, 0.96, 1.04, 1.5])
    rows[:, number] = shares * bound
    margin = MARGINS[env_id](rows)
    if number == 3:  # a joint's angle counts towards no other bound
        assert ends(margin).tolist() == [False, False, True, True]
        return
    np.testing.assert_allclose(margin, np.maximum(shares, margin[0]))
    assert ends(margin).tolist() == [False, False, True, True]
    assert near(margin).tolist() == [False, True, True, False]


def test_a_hopper_falls_below_its_height():
    heights = np.array([1.25, 0.7 * 1.04, 0.7 * 0.96, 0.3])
    rows = np.zeros((4, 11))
    rows[:, 0] = heights
    margin = MARGINS["Hopper-v5"](rows)
    assert ends(margin).tolist() == [False, False, True, True]
    assert near(margin).tolist() == [False, True, True, False]


@pytest.mark.parametrize("env_id", ["InvertedPendulum-v5", "Hopper-v5"])
def test_what_is_no_number_ends(env_id):
    rows = np.ones((1, 4 if env_id == "InvertedPendulum-v5" else 11))
    rows[0, 1] = 0.0
    assert not ends(MARGINS[env_id](rows)).any()
    rows[0, 3] = np.nan
    assert ends(MARGINS[env_id](rows)).all()
