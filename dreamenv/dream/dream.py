"""A dream: a batch of lanes on top of a world model. The MDP, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from dreamenv_client.arguments import lane_indices

from dreamenv.dream.arguments import check_count
from dreamenv.dream.clock import EVERY
from dreamenv.dream.folders import Data, check_data
from dreamenv.dream.imagination import Imagination, PadRows
from dreamenv.dream.knobs import KNOBS, Knobs, check_flags, check_starts
from dreamenv.dream.part import Part
from dreamenv.dream.recorded import recorded_starts
from dreamenv.dream.table import Table
from dreamenv.dream.threads import one_thread_in_children
from dreamenv.dream.trust import untold
from dreamenv.models.propagation import Propagation
from dreamenv.models.world_model import ObservationKind
from dreamenv.packages import Package

one_thread_in_children()


class Dream(Part):
    """A batch of dreams of one package: :class:`dreamenv_client.lanes.Lanes`, in this process.

    A lane's random numbers are functions of its seed, its episode and its step, and its row is
    computed as in any other batch: the same seed and actions give bitwise the same trajectory
    alone, among others, after a restore and in a branch, wherever :attr:`fingerprint` is the same.

    Infos: ``termination_probability`` (float32, at the lane's termination temperature) and, where
    the family can tell, ``uncertainty`` (float32; 1 where the model is as unsure as of the 95th
    percentile of held-out real decisions, if the package says what that is, else in the family's
    own units); 0 for lanes that were not stepped.

    Args:
        package: the trained model, its start states and its defaults.
        num_lanes: how many lanes.
        obs: ``"features"`` or ``"latent"``, float32 ``[n]`` cut to the config's bound, or
            ``"pixels"``, the decoded observation: uint8 frames, or float32 vectors in the real
            env's units.
        temperature: 0 is the mode, 1 the model as trained; or ``[low, high]``, drawn each episode.
            It and what follows to ``starts`` are the package's defaults where None.
        termination: ``"sample"`` what is predicted, cut it at the package's ``"threshold"``, or
            ``"none"``: the horizon alone ends episodes.
        termination_temperature: divides the logit of the termination, apart from ``temperature``.
        horizon: decisions after which an episode is truncated. With ``starts`` of ``"any"`` or
            ``"data"`` a short one makes branches of that length (Dyna; Janner et al. 2019, MBPO),
            from whose ends learners bootstrap.
        trust_penalty: taken off the reward, times ``uncertainty`` (Yu et al. 2020, MOPO); at
            least 0.
        trust_limit: where ``uncertainty`` passes it an episode is truncated (Kidambi et al. 2020,
            MOReL), unless the model ends it there: up to 1, a quantile of held-out real decisions;
            above, so many times the least sure of them; 0 for never.
        starts: ``"first"``, states that began real episodes; ``"any"`` of the package's bank, also
            called ``"bank"``; or ``"data"``, any moment of ``data``, drawn uniformly, but those at
            which an episode terminated.
        data: folders of recorded episodes of the same real env, for ``starts="data"``. They are
            seen through the model as the dream is made; see
            :func:`~dreamenv.dream.recorded.recorded_starts` for the memory that it takes. Their
            moments are the dream's start states then, in all that names or draws those.
        uncertainty: False leaves ``uncertainty`` out of infos, and trust with it. A step of an
            ensemble that is not compiled, under ``"ts1"`` or ``"tsinf"``, then costs a member's,
            not all elites'.
        propagation: the members of an ensemble that a step follows: ``"ts1"``, another each step;
            ``"tsinf"``, one for an episode (Chua et al. 2018); ``"mean"``, all on average; or
            ``"member"``, the best. The package's own where None.
        device: of torch.
        compile: run the step through ``torch.compile``, which needs half a minute and a C++
            compiler, and pays for many lanes.
        pad_rows: batches are padded to a multiple of so many rows, as small ones round otherwise;
            ``"auto"`` finds the least by a self-test, None or 1 switches it off.

    Raises:
        ValueError: a bad argument, naming it and what was expected.
        DataError: no rollouts in ``data``, damaged ones, or of another real env.
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
        trust_penalty: float | None = None,
        trust_limit: float | None = None,
        starts: str | None = None,
        data: Data | None = None,
        uncertainty: bool = True,
        propagation: Propagation | None = None,
        device: str = "cpu",
        compile: bool = False,
        pad_rows: PadRows = "auto",
    ) -> None:
        num_lanes = check_count(num_lanes)
        check_flags(compile=compile, uncertainty=uncertainty)
        check_data(starts, data)
        given = (
            temperature,
            termination,
            termination_temperature,
            horizon,
            trust_penalty,
            trust_limit,
        )
        named = {n: value for n, value in zip(KNOBS, given, strict=True) if value is not None}
        config = package.config if uncertainty else untold(package.config, **named)
        knobs = Knobs(num_lanes, config, "any" if data is not None else starts)
        knobs.set(np.arange(num_lanes), **named)
        with torch.inference_mode():
            lanes = Imagination(
                package,
                num_lanes,
                obs,
                uncertainty=uncertainty,
                propagation=propagation,
                device=device,
                compile=compile,
                pad_rows=pad_rows,
            )
            recorded = None if data is None else recorded_starts(lanes.model, config, data)
            table = Table(package, knobs, lanes, recorded)
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
