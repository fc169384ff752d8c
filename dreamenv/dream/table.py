"""The lanes of a dream as a table: what is kept of each, and steps of any of them as one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from dreamenv_client.lanes import LaneStep
from numpy.typing import NDArray
from torch import Tensor

from dreamenv.dream.beginning import Beginning
from dreamenv.dream.clock import Clock, Rows, Status
from dreamenv.dream.imagination import Imagination, to_host
from dreamenv.dream.knobs import Knobs
from dreamenv.dream.noise import NoiseBlocks
from dreamenv.dream.starts import StartBank
from dreamenv.dream.termination import ended, termination_probability
from dreamenv.dream.trust import beyond, in_units
from dreamenv.errors import PackageError
from dreamenv.models.world_model import State
from dreamenv.packages import Package

if TYPE_CHECKING:
    from dreamenv.dream.together import Turn

GOING = int(Status.GOING)
Begins = Sequence[tuple[NDArray[np.intp], "Turn"]]
"""Where in a batch episodes begin, and the turn that says how."""


class Table:
    """What is kept of each lane. Lanes are named by their numbers, or all of them by a slice.

    Args:
        knobs: of each lane, as they are when it is wiped.
        lanes: the model's side of them.
        starts: states to begin episodes with, as of
            :class:`~dreamenv.dream.starts.StartBank`; the package's own if None.

    Raises:
        PackageError: the package has a scale of trust, and a model that cannot tell.
    """

    def __init__(
        self,
        package: Package,
        knobs: Knobs,
        lanes: Imagination,
        starts: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.config = knobs.config
        self._trust = self.config.trust
        if self._trust is not None and not lanes.tells:
            raise PackageError.at(
                package.path or package.config.name,
                "trust",
                expected="none, as the model does not tell how unsure it is",
                found="quantiles",
                fix="Train the package again.",
            )
        tells = ("uncertainty",) if lanes.tells else ()
        self._always = ("reward", *tells, "termination_probability")
        """What every call gives, in this order; 0 for lanes that it did not step."""
        self.action_space = package.config.action.space()
        self.identity = package.identity
        self.closed = False
        self.num_lanes = count = lanes.num_lanes
        self.taken: NDArray[np.bool_] = np.zeros(count, np.bool_)
        """Lanes that belong to a part of the dream."""
        self.clock, self.knobs, self.lanes = Clock(count), knobs, lanes
        self._blank = {name: array[:1].copy() for name, array in self.arrays().items()}
        model = lanes.model
        self.bank = StartBank(package.starts if starts is None else starts, model.device)
        self._noise = NoiseBlocks(model.noise, self.clock, lanes.states.rows, model.device)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All but the model's state: ``[lanes]`` by name."""
        return {**vars(self.clock), **self.knobs.arrays()}

    def close(self) -> None:
        """Free the model and the lanes."""
        if not self.closed:
            self.closed = True
            del self.lanes, self.bank, self._noise

    def can_step(self, at: Rows, reset: NDArray[np.bool_] | None) -> bool:
        """Whether episodes are going in all these lanes but those masked."""
        going = self.clock.status[at] == GOING
        if reset is not None:
            going |= reset
        return bool(np.count_nonzero(going) == len(going))

    def step(
        self, at: Rows, actions: NDArray[Any], reset: NDArray[np.bool_] | None, begins: Begins
    ) -> LaneStep:
        """Step these lanes, but begin episodes in those masked.

        Args:
            at: each lane once, episodes going in all that are not masked.
            actions: ``[lanes, *action]``.
            reset: ``[lanes]``; None for none.
            begins: where in the batch they are.
        """
        going = None if reset is None else ~reset
        dreamt = chance = None
        if going is None or going.any():
            if isinstance(at, slice) and not self.lanes.whole:
                at = np.arange(self.num_lanes)
            if isinstance(at, slice):
                noise, chance = self._noise.take(going)
            else:
                rows = self.lanes.lengths.of(len(at)).rows
                noise, chance = self._noise.take_some(at, going, rows)
            dreamt = self.lanes.step(at, actions, self.knobs.temperature[at], noise)
        if begins:
            self._begin_all(at, begins)
            if dreamt is not None:
                begun = np.concatenate([where for where, _ in begins])
                into = torch.from_numpy(begun).to(self.lanes.device)
                seen = self.lanes.observe(begun if isinstance(at, slice) else at[begun])
                dreamt["observation"].index_copy_(0, into, seen)
        return self.shown(at, going, dreamt, chance)

    def begin(
        self, lanes: NDArray[np.intp], seeds: NDArray[np.int64], beginning: Beginning
    ) -> None:
        """Begin an episode in these lanes; ``seeds`` are theirs, -1 for none of its own."""
        if not len(lanes):
            return
        model = self.lanes.model
        self.clock.begin(lanes, seeds)
        draw = self._noise.begin(lanes)
        self.knobs.draw_temperature(lanes, draw.temperature)
        index = beginning.index
        if index is None:
            index = self.bank.draw(draw.start, self.knobs.anywhere[lanes])
        state = beginning.state
        if state is None:
            rows = self.lanes.lengths.of(len(lanes)).rows
            state = self.bank.begin(model, index, draw.begin, rows)
        self.lanes.states.put(lanes, state)

    def copy(
        self, source: NDArray[np.intp], target: NDArray[np.intp], seeds: NDArray[np.int64]
    ) -> None:
        """Copy lanes onto others, which go on under seeds of their own where those are not -1."""
        for array in self.arrays().values():
            array[target] = array[source]
        self.lanes.states.put(target, self.lanes.states.copies(source))
        self.clock.seed[target] = np.where(seeds < 0, self.clock.seed[target], seeds)

    def put(self, lanes: NDArray[np.intp], arrays: dict[str, NDArray[Any]], state: State) -> None:
        """Set all that is kept of these lanes."""
        for name, array in self.arrays().items():
            array[lanes] = arrays[name]
        self.lanes.states.put(lanes, state)

    def wipe(self, lanes: NDArray[np.intp]) -> None:
        """Leave nothing of what these lanes were."""
        for name, array in self.arrays().items():
            array[lanes] = self._blank[name]
        self.lanes.states.wipe(lanes)

    def shown(
        self,
        at: Rows,
        stepped: NDArray[np.bool_] | None,
        dreamt: dict[str, Tensor] | None = None,
        chance: NDArray[np.float32] | None = None,
    ) -> LaneStep:
        """What these lanes show after some of them were stepped.

        Args:
            stepped: ``[lanes]``; None for all.
            dreamt: what was dreamt in that; None if no lane was stepped.
            chance: float32 ``[lanes]``, to draw their endings with.
        """
        status = self.clock.status
        count = len(status[at])
        if dreamt is None or chance is None:
            stepped = np.zeros(count, np.bool_)
            every = np.arange(count) if isinstance(at, slice) else at
            arrays = to_host({"observation": self.lanes.observe(every)}, count)
        else:
            arrays, knobs = to_host(dreamt, count), self.knobs
            logit = arrays.pop("termination_logit")
            probability = termination_probability(logit, knobs.termination_temperature[at])
            over = ended(probability, knobs.termination[at], self.config.defaults.threshold, chance)
            distrusted = None
            if self._trust is not None:
                unsure = in_units(arrays["uncertainty"], self._trust)
                arrays["uncertainty"] = unsure
                # The penalised reward of MOPO (Yu et al. 2020), the halt of MOReL (Kidambi et al.
                # 2020): there absorbing, here a truncation, which learners bootstrap from.
                arrays["reward"] = arrays["reward"] - knobs.trust_penalty[at] * unsure
                distrusted = beyond(unsure, knobs.trust_limit[at], self._trust)
            self.clock.advance(at, stepped, over, knobs.horizon[at], distrusted)
            arrays["termination_probability"] = probability
        observation = arrays.pop("observation")
        for name in self._always:
            if name not in arrays:
                arrays[name] = np.zeros(count, np.float32)
        if stepped is not None and not stepped.all():
            for values in arrays.values():
                values[~stepped] = 0.0
        status = status[at]
        return LaneStep(
            observation,
            arrays.pop("reward"),
            terminated=status == Status.TERMINATED,
            truncated=status == Status.TRUNCATED,
            info=arrays,
        )

    def _begin_all(self, at: Rows, begins: Begins) -> None:
        """Begin episodes: in one go where nothing was asked of their starts."""
        plain: list[tuple[NDArray[np.intp], NDArray[np.int64]]] = []
        for where, turn in begins:
            lanes = where if isinstance(at, slice) else at[where]
            if turn.seeds is None or turn.reset is None:
                seeds = np.full(len(lanes), -1, np.int64)
            else:
                seeds = turn.seeds[turn.reset]
            beginning = turn.beginning
            if beginning is None or (beginning.index is None and beginning.state is None):
                plain.append((lanes, seeds))
            else:
                self.begin(lanes, seeds, beginning)
        if plain:
            lanes, seeds = (np.concatenate(parts) for parts in zip(*plain, strict=True))
            self.begin(lanes, seeds, Beginning())
