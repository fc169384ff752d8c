"""A dream: a batch of lanes on top of a world model. The MDP, in memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import gymnasium as gym
import numpy as np
import torch
from dreamenv_client.actions import check_actions
from dreamenv_client.arguments import lane_indices
from dreamenv_client.lanes import LaneSnapshot, LaneStep
from numpy.typing import NDArray
from torch import Tensor

from dreamenv.dream.arguments import check_count, check_mask, check_seeds
from dreamenv.dream.beginning import Beginning, check_options
from dreamenv.dream.clock import Clock, Status
from dreamenv.dream.imagination import Imagination, PadRows, to_host
from dreamenv.dream.knobs import KNOBS, Knobs, check_compile
from dreamenv.dream.noise import NoiseBlocks
from dreamenv.dream.one_step import STATE
from dreamenv.dream.snapshot import check_snapshot
from dreamenv.dream.starts import StartBank, filtered
from dreamenv.dream.termination import ended, termination_probability
from dreamenv.dream.threads import one_thread_in_children
from dreamenv.models.world_model import ObservationKind
from dreamenv.packages import Package

one_thread_in_children()

ALWAYS = ("reward", "termination_probability")
"""What every call gives; 0 for lanes that it did not step."""

Method = TypeVar("Method", bound=Callable[..., Any])


def while_open(method: Method) -> Method:
    """Run a method of :class:`Dream` without autograd, and refuse once the dream is closed."""

    @functools.wraps(method)
    def run(dream: Dream, *args: Any, **kwargs: Any) -> Any:
        if dream.closed:
            raise RuntimeError("this dream was closed: make a new one.")
        with torch.inference_mode():
            return method(dream, *args, **kwargs)

    return cast(Method, run)


class Dream:
    """A batch of dreams of one package: :class:`dreamenv_client.lanes.Lanes`, in this process.

    A lane's random numbers are functions of its seed, its episode and its step, and its row is
    computed as in any other batch: the same seed and actions give bitwise the same trajectory
    alone, among others, after a restore and in a branch, wherever :attr:`fingerprint` is the same.

    Infos: ``termination_probability`` (float32, at the lane's termination temperature) and, where
    the family can tell, ``uncertainty``; 0 for lanes that were not stepped.

    Args:
        package: the trained model, its start states and its defaults.
        num_lanes: how many lanes.
        obs: ``"features"`` or ``"latent"``, float32 ``[n]`` cut to the config's bound, or
            ``"pixels"``, the decoded observation, uint8.
        temperature: 0 is the mode, 1 the model as trained; or ``[low, high]``, drawn each episode.
            It and what follows to ``starts`` are the package's defaults where None.
        termination: ``"sample"`` what is predicted, cut it at the package's ``"threshold"``, or
            ``"none"``: the horizon alone ends episodes.
        termination_temperature: divides the logit of the termination, apart from ``temperature``.
        horizon: decisions after which an episode is truncated.
        starts: ``"first"``, states that began real episodes, or ``"any"`` of the bank.
        device: of torch.
        compile: run the step through ``torch.compile``, which needs half a minute and a C++
            compiler, and pays for many lanes.
        pad_rows: batches are padded to a multiple of so many rows, as small ones round otherwise;
            ``"auto"`` finds the least by a self-test, None or 1 switches it off.

    Raises:
        ValueError: a bad argument, naming it and what was expected.
        RuntimeError: ``compile`` without a C++ compiler.
    """

    def __init__(
        self,
        package: Package,
        num_lanes: int,
        *,
        obs: ObservationKind = "features",
        temperature: float | Sequence[float] | None = None,
        termination: str | None = None,
        termination_temperature: float | None = None,
        horizon: int | None = None,
        starts: str | None = None,
        device: str = "cpu",
        compile: bool = False,
        pad_rows: PadRows = "auto",
    ) -> None:
        self.num_lanes = num_lanes = check_count(num_lanes)
        check_compile(compile)
        config = package.config
        self.observation_space: gym.Space[Any] = config.observation_space(obs)
        self.action_space: gym.Space[Any] = config.action.space()
        self.identity = package.identity
        """Of the package: snapshots are only taken back by the same."""
        self.closed = False
        self._threshold = config.defaults.threshold
        self._knobs = Knobs(num_lanes, config.defaults, starts)
        given = (temperature, termination, termination_temperature, horizon)
        named = {n: value for n, value in zip(KNOBS, given, strict=True) if value is not None}
        self._knobs.set(np.arange(num_lanes), **named)
        self._clock = Clock(num_lanes)
        self._none, self._all = np.zeros(num_lanes, np.bool_), np.ones(num_lanes, np.bool_)
        with torch.inference_mode():
            self._lanes = Imagination(
                package, num_lanes, obs, device=device, compile=compile, pad_rows=pad_rows
            )
            self.fingerprint = self._lanes.fingerprint
            """What decides the bits (processor, build, threads, compile mode, padding): where it is
            equal, the same seed and actions give bitwise the same trajectory."""
            self.padded_rows = self._lanes.rows
            """Rows that a step computes for these lanes."""
            model = self._lanes.model
            self._bank = StartBank(package.starts, model.device)
            self._noise = NoiseBlocks(model.noise, self._clock, self._lanes.rows, model.device)
        self._check_options = functools.partial(
            check_options, num_lanes=num_lanes, bank=len(self._bank), config=config
        )

    @while_open
    def reset(
        self,
        mask: NDArray[np.bool_] | None = None,
        seeds: Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> LaneStep:
        lanes = np.flatnonzero(check_mask(mask, self.num_lanes, default=True))
        own = check_seeds(seeds, self.num_lanes)[lanes]
        self._begin(lanes, own, self._check_options(options, lanes))
        return self._shown(self._none)

    @while_open
    def step(
        self,
        actions: Any,
        reset: NDArray[np.bool_] | None = None,
        seeds: Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> LaneStep:
        actions = check_actions(
            self.action_space,
            actions,
            self.num_lanes,
            None if reset is None else check_mask(reset, self.num_lanes, default=False),
        )
        begun = np.zeros(0, np.intp) if reset is None else np.flatnonzero(reset)
        own = check_seeds(seeds, self.num_lanes)[begun]
        beginning = self._check_options(options, begun)
        going = self._all if reset is None else ~reset
        self._clock.require_going(going)
        dreamt = chance = None
        if len(begun) < self.num_lanes:
            noise, chance = self._noise.take(going)
            dreamt = self._lanes.step(actions, self._knobs.temperature, noise)
        self._begin(begun, own, beginning)
        return self._shown(going, begun, dreamt, chance)

    def set_knobs(self, lanes: Sequence[int] | None = None, **knobs: Any) -> None:
        self._knobs.set(self._indices(lanes), **knobs)

    @while_open
    def snapshot(self, lanes: Sequence[int] | None = None) -> LaneSnapshot:
        which = self._indices(lanes)
        arrays = {name: array[which] for name, array in self._arrays().items()}
        for name, rows in self._lanes.take(which).items():
            arrays[STATE + name] = rows.cpu().numpy()
        return LaneSnapshot(self.identity, arrays)

    @while_open
    def restore(self, snapshot: LaneSnapshot, lanes: Sequence[int] | None = None) -> LaneStep:
        which = self._indices(lanes)
        like = self.snapshot([0]).arrays
        arrays = check_snapshot(snapshot, model=self.identity, lanes=len(which), like=like)
        for name, array in self._arrays().items():
            array[which] = arrays[name]
        self._lanes.put(which, {n: torch.tensor(arrays[STATE + n]) for n in self._lanes.state})
        return self._shown(self._none)

    @while_open
    def branch(
        self, source: Sequence[int], target: Sequence[int], seeds: Sequence[int] | None = None
    ) -> LaneStep:
        origin = np.array(lane_indices(source, self.num_lanes, repeats=True), np.intp)
        into = self._indices(target)
        if len(origin) != len(into):
            raise ValueError(f"got {len(origin)} source lanes and {len(into)} target lanes.")
        fresh = check_seeds(seeds, len(into))
        if (self._clock.status[origin] == Status.UNBEGUN).any():
            raise RuntimeError("a source lane was never reset: reset it before branching from it.")
        for array in self._arrays().values():
            array[into] = array[origin]
        self._lanes.put(into, self._lanes.take(origin))
        self._clock.seed[into] = np.where(fresh < 0, self._clock.seed[into], fresh)
        return self._shown(self._none)

    @while_open
    def render(self, lanes: Sequence[int] | None = None) -> NDArray[np.uint8]:
        return self._lanes.pictures(self._indices(lanes))

    def close(self) -> None:
        """Free the model and the lanes."""
        if not self.closed:
            self.closed = True
            del self._lanes, self._bank, self._noise

    def _begin(
        self, lanes: NDArray[np.intp], seeds: NDArray[np.int64], beginning: Beginning
    ) -> None:
        """Begin an episode in these lanes."""
        if not len(lanes):
            return
        model = self._lanes.model
        self._clock.begin(lanes, seeds)
        draw = self._noise.begin(lanes)
        self._knobs.draw_temperature(lanes, draw.temperature)
        index = beginning.index
        if index is None:
            index = self._bank.draw(draw.start, self._knobs.anywhere[lanes])
        if beginning.real is None:
            state = self._bank.begin(model, index, draw.begin, self._lanes.plan)
        else:
            state = filtered(model, *beginning.real, lanes=len(lanes))
        self._lanes.put(lanes, state)

    def _shown(
        self,
        stepped: NDArray[np.bool_],
        begun: NDArray[np.intp] | None = None,
        dreamt: dict[str, Tensor] | None = None,
        chance: NDArray[np.float32] | None = None,
    ) -> LaneStep:
        """What all lanes show after some of them were stepped, with what was dreamt in that, and
        others begun."""
        if dreamt is None:
            dreamt = {"observation": self._lanes.observe(np.arange(self.num_lanes))}
        elif begun is not None and len(begun):
            at = torch.from_numpy(begun).to(dreamt["observation"].device)
            dreamt["observation"].index_copy_(0, at, self._lanes.observe(begun))
        arrays = to_host(dreamt, self.num_lanes)
        if chance is not None:
            knobs = self._knobs
            logit = arrays.pop("termination_logit")
            probability = termination_probability(logit, knobs.termination_temperature)
            over = ended(probability, knobs.termination, self._threshold, chance)
            self._clock.advance(stepped, over, knobs.horizon)
            arrays["termination_probability"] = probability
        observation = arrays.pop("observation")
        for name in ALWAYS:
            arrays.setdefault(name, np.zeros(self.num_lanes, np.float32))
        if not stepped.all():
            for values in arrays.values():
                values[~stepped] = 0.0
        return LaneStep(
            observation,
            arrays.pop("reward"),
            terminated=self._clock.status == Status.TERMINATED,
            truncated=self._clock.status == Status.TRUNCATED,
            info=arrays,
        )

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {**vars(self._clock), **vars(self._knobs)}

    def _indices(self, lanes: Sequence[int] | None) -> NDArray[np.intp]:
        return np.array(lane_indices(lanes, self.num_lanes), np.intp)
