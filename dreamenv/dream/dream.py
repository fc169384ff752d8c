"""A dream: a batch of lanes on top of a world model. The MDP, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from dreamenv_client.arguments import lane_indices

from dreamenv.dream.arguments import check_count
from dreamenv.dream.clock import EVERY
from dreamenv.dream.imagination import Imagination, PadRows
from dreamenv.dream.knobs import KNOBS, Knobs, check_compile, check_starts
from dreamenv.dream.part import Part
from dreamenv.dream.table import Table
from dreamenv.dream.threads import one_thread_in_children
from dreamenv.models.world_model import ObservationKind
from dreamenv.packages import Package

one_thread_in_children()


class Dream(Part):
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
        num_lanes = check_count(num_lanes)
        check_compile(compile)
        config = package.config
        knobs = Knobs(num_lanes, config.defaults, starts)
        given = (temperature, termination, termination_temperature, horizon)
        named = {n: value for n, value in zip(KNOBS, given, strict=True) if value is not None}
        knobs.set(np.arange(num_lanes), **named)
        with torch.inference_mode():
            lanes = Imagination(
                package, num_lanes, obs, device=device, compile=compile, pad_rows=pad_rows
            )
            table = Table(package, knobs, lanes)
        super().__init__(table, EVERY, config.observation_space(obs))
        self.fingerprint = lanes.fingerprint
        """What decides the bits (processor, build, threads, compile mode, padding): where it is
        equal, the same seed and actions give bitwise the same trajectory."""

    @property
    def padded_rows(self) -> int:
        """Rows that a step computes for these lanes."""
        self.require_open()
        with torch.inference_mode():
            return self.table.lanes.lengths.of(self.num_lanes).rows

    def part(self, lanes: Iterable[int], *, starts: str | None = None) -> Part:
        """Some of the lanes, for an owner of their own; no other part has them until it is closed.

        Args:
            lanes: which, each once; the part numbers them from 0 in this order.
            starts: as of the dream; its own where None.

        Raises:
            ValueError: no lane, no such lane, one twice, or one that another part has.
        """
        self.require_open()
        at = np.array(lane_indices(lanes, self.num_lanes), np.intp)
        taken = at[self.table.taken[at]].tolist()
        if not len(at) or taken:
            found = f"lanes {taken} belong to another part" if taken else "no lanes were named"
            raise ValueError(f"{found}; expected some that are free.")
        if starts is not None:
            self.table.knobs.anywhere[at] = check_starts(starts) == "any"
        self.table.taken[at] = True
        return Part(self.table, at, self.observation_space)

    def prepare(self, most: int | None = None) -> None:
        """Run now the self-tests that would be run as parts first step so many lanes together.

        Args:
            most: lanes that will be stepped at once; all of them if None.
        """
        self.require_open()
        lengths = self.table.lanes.lengths
        with torch.inference_mode():
            for rows in lengths.all():
                if most is None or rows <= lengths.of(most).rows:
                    lengths.of(rows)

    def close(self) -> None:
        """Free the model and the lanes, those of its parts as well."""
        self.closed = True
        self.table.close()
