"""What a loop refuses before anything is recorded: it would fail once real frames are spent."""

from __future__ import annotations

from typing import Any, get_args

import gymnasium as gym
import numpy as np

from dreamenv.errors import DataError
from dreamenv.learn_defaults import Algorithm
from dreamenv.preprocess import build_env
from dreamenv.rounds import LoopConfig, affordable

CONTINUOUS, DISCRETE = ("sac", "td3"), ("dqn",)
"""Learners that take actions of one kind only."""


def check_recipe(config: LoopConfig) -> None:
    """Refuse what the recipe and the learner cannot do in the env; makes it once.

    Raises:
        DataError: the recipe's family cannot model what the env shows, or the learner is unknown,
            takes other actions, or cannot go on or be restrained as the recipe asks.
    """
    env = build_env(config.real)
    try:
        shown, acts = env.observation_space, env.action_space
    finally:
        env.close()
    _check_family(config, shown)
    _check_learner(config, isinstance(acts, gym.spaces.Discrete))


def check_budget(config: LoopConfig, used: int = 0) -> None:
    """Refuse fewer frames than a first round takes, or than were used.

    Raises:
        DataError: the budget is too small.
    """
    if affordable(config, 0, 0) is None:
        first, recipe = config.recipe.first, config.recipe
        enough = (
            f"enough for {recipe.smallest_round} episodes"
            if first.real_steps is None
            else f"at least {min(first.real_steps, recipe.smallest_budget)} frames"
        )
        raise DataError(
            f"real_steps: expected {enough} of the first round, got {config.real_steps}"
        )
    if used > config.real_steps:
        raise DataError(
            f"real_steps: expected at least the {used} that the loop in {config.out} has used, "
            f"got {config.real_steps}; give as many, or choose another folder"
        )


def _check_family(config: LoopConfig, shown: gym.Space[Any]) -> None:
    vectors, family = shown.dtype != np.uint8, config.recipe.family
    if vectors != (family == "ensemble"):
        fitting = "ensemble" if vectors else "mdnrnn"
        raise DataError(
            f"{config.real.env_id}: expected {'vectors' if not vectors else 'frames'}, which the "
            f"recipe's family {family} models, got {shown}; give a recipe with "
            f'"family": "{fitting}"'
        )


def _check_learner(config: LoopConfig, discrete: bool) -> None:
    recipe = config.recipe
    algo = config.algo or recipe.learn.algo
    if algo not in get_args(Algorithm):
        raise DataError(f"algo: expected one of {', '.join(get_args(Algorithm))}, got {algo!r}")
    if algo == "cma" and (recipe.keep_policy or recipe.restraint is not None):
        raise DataError(
            "cma: expected a recipe without keep_policy and restraint, which it cannot follow; "
            "choose another learner, or give a recipe of your own"
        )
    unsure = None if recipe.restraint is None else recipe.restraint.unsure
    if unsure is not None:
        told = recipe.learn.knobs.get("uncertainty") is not False
        if recipe.family != "ensemble" or not told:
            of = f"family {recipe.family}" if told else "a dream with uncertainty=False"
            raise DataError(
                f"restraint: unsure: expected None, got {unsure}: {of} does not tell how unsure it "
                "is; bound its pace instead"
            )
    if algo in (CONTINUOUS if discrete else DISCRETE):
        kind = "discrete" if discrete else "continuous"
        raise DataError(
            f"{algo}: expected a learner of {kind} actions, as {config.real.env_id} takes; choose "
            f"ppo{', dqn' if discrete else ', sac, td3'} or another"
        )
