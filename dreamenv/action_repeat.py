"""Hold an action for several frames, and draw only the last where that is known to be safe."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym


class ActionRepeat(gym.Wrapper[Any, Any, Any, Any]):
    """Step the env up to ``times`` times with one action; rewards add up, the last frame is shown.

    Ends early with the episode. ``info["real_steps"]`` is how many frames were used.

    Bitwise the same as a plain loop. CarRacing spends over 98% of a step on drawing a frame which
    nothing but the caller looks at, so the frames in between are not drawn there; other envs
    may need their drawing, and draw every frame.
    """

    def __init__(self, env: gym.Env[Any, Any], times: int) -> None:
        super().__init__(env)
        self.times = times
        self._skips_drawing = _can_skip_drawing(env)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; ``info["real_steps"]`` is 0."""
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, {**info, "real_steps": 0}

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Hold ``action`` until ``times`` frames have gone by or the episode is over."""
        total = 0.0
        for used in range(1, self.times + 1):
            if self._skips_drawing and used < self.times:
                result = _step_without_drawing(self.env, action)
            else:
                result = self.env.step(action)
            observation, reward, terminated, truncated, info = result
            total += float(reward)
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, {**info, "real_steps": used}


def _can_skip_drawing(env: gym.Env[Any, Any]) -> bool:
    """Whether this is CarRacing as Gymnasium ships it, with no wrapper of its spec in between."""
    kind = type(env.unwrapped)
    known = (kind.__module__, kind.__name__) == ("gymnasium.envs.box2d.car_racing", "CarRacing")
    return known and env.spec is not None and not env.spec.additional_wrappers


def _step_without_drawing(env: gym.Env[Any, Any], action: Any) -> tuple[Any, Any, bool, bool, Any]:
    """One step of CarRacing that draws its frame only if the episode ends on it.

    ``CarRacing.step`` calls ``self._render("state_pixels")`` after the physics and before the
    reward; the instance's ``_render`` is shadowed for this call. The frame shows the score as it
    stood then, so a frame drawn late is drawn with that score.
    """
    car: Any = env.unwrapped
    draw = car._render
    score = car.reward

    def shadow(mode: str) -> Any:
        nonlocal score
        if mode != "state_pixels":
            return draw(mode)
        score = car.reward
        return car.state

    car._render = shadow
    try:
        observation, reward, terminated, truncated, info = env.step(action)
    finally:
        del car._render
    if terminated or truncated:
        after, car.reward = car.reward, score
        observation = car.state = car._render("state_pixels")
        car.reward = after
    return observation, reward, terminated, truncated, info
