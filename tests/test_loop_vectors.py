"""The loop of the ensemble family, with on- and off-policy learners that go on from round to round:
every frame of the real env is counted by the env itself."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import stable_baselines3
import torch
from dreamenv_client.sb3 import DreamVecEnv
from gymnasium.envs.classic_control import CartPoleEnv
from matplotlib.figure import Figure

from dreamenv.config import ActionRepeat, RealSpec
from dreamenv.data.policies import load_policy
from dreamenv.data.rollouts import Rollouts
from dreamenv.errors import DataError
from dreamenv.evaluate import evaluation_seeds
from dreamenv.learn import learn
from dreamenv.loop import LoopConfig, Round, loop
from dreamenv.packages import load_config, load_package
from dreamenv.real_specs import load_real_spec
from dreamenv.recipes import Recipe
from dreamenv.rounds import affordable
from dreamenv.training.train_ensemble import train_ensemble

BUDGET = 180
RECIPE = {
    "name": "pole",
    "family": "ensemble",
    "first": {"real_steps": 90, "hold": 2},
    "next": {"real_steps": 50, "noise": 0.2},
    "smallest_budget": 30,
    "sizes": {"members": 2, "elites": 2, "hidden": 8, "layers": 1, "outcome": 4},
    "ensemble_steps": [20, 10],
    "ensemble": {"batch": 16},
    "defaults": {"horizon": 12},
    "learn": {
        "algo": "ppo",
        "timesteps": 64,
        "num_envs": 4,
        "dream": {"starts": "any", "horizon": 12},
        "hyperparameters": {"n_steps": 8, "batch_size": 16, "n_epochs": 1, "net_arch": [8]},
    },
    "learn_steps": [64, 32],
    "branches": [3, 7],
    "keep_policy": True,
    "evaluation_episodes": 2,
    "evaluation_deterministic": True,
    "audit": False,
}
EPISODES = {
    "first": {"episodes": 8, "max_decisions": 5},
    "next": {"episodes": 20, "max_decisions": 10},
}
UNTOLD = {
    "restraint": {"unsure": 2.0},
    "learn": RECIPE["learn"] | {"dream": {"uncertainty": False}},
}


def config(out: Path, real: str | RealSpec = "CartPole-v1", **changes: Any) -> LoopConfig:
    spec = load_real_spec(real) if isinstance(real, str) else real
    recipe = Recipe.model_validate(RECIPE | changes.pop("recipe", {}))
    return LoopConfig(spec, out, **({"real_steps": BUDGET} | changes), recipe=recipe, workers=1)


class Counted:
    """Frames that CartPole played, by whether its seed was one of evaluation."""

    def __init__(self) -> None:
        self.frames = {"data": 0, "evaluation": 0}
        self.seeds: list[int] = []

    def __enter__(self) -> Counted:
        self._patch = pytest.MonkeyPatch()
        step, reset = CartPoleEnv.step, CartPoleEnv.reset

        def counted_step(env: Any, action: Any) -> Any:
            self.frames["evaluation" if env.first_seed >= 2**31 else "data"] += 1
            return step(env, action)

        def counted_reset(env: Any, *, seed: int | None = None, options: Any = None) -> Any:
            if seed is not None:
                env.first_seed = seed
                self.seeds.append(seed)
            return reset(env, seed=seed, options=options)

        self._patch.setattr(CartPoleEnv, "step", counted_step)
        self._patch.setattr(CartPoleEnv, "reset", counted_reset)
        return self

    def __exit__(self, *error: object) -> None:
        self._patch.undo()


def parameters(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_policy(path).policy.state_dict())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[dict[str, Any]]]:
    """What learners of an algorithm are, at the moment they begin to learn."""

    def record(algorithm: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        kind = getattr(stable_baselines3, algorithm)
        learn = kind.learn

        def recorded(model: Any, *arguments: Any, **more: Any) -> Any:
            kept = copy.deepcopy(model.get_parameters())
            entropy = getattr(model, "log_ent_coef", None)
            found.append({**kept, "entropy": None if entropy is None else entropy.item()})
            return learn(model, *arguments, **more)

        monkeypatch.setattr(kind, "learn", recorded)
        return found

    return record


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, list[Round], Counted, list[int]]:
    """A loop that nobody stopped: folder, rounds, frames, and the horizons of its dreams."""
    out = tmp_path_factory.mktemp("whole") / "loop"
    horizons: list[int] = []
    init = DreamVecEnv.__init__

    def recorded(env: Any, source: Any, num_envs: int = 1, **settings: Any) -> None:
        horizons.append(source.open.knobs["horizon"])
        init(env, source, num_envs, **settings)

    with Counted() as counted, pytest.MonkeyPatch.context() as patch:
        patch.setattr(DreamVecEnv, "__init__", recorded)
        rounds = loop(config(out))
    return out, rounds, counted, horizons


def test_budgets_are_used_to_the_frame(whole):
    out, rounds, counted, _ = whole
    assert [r.real_steps for r in rounds] == [90, 140, BUDGET]  # the last gets what is left
    assert counted.frames == {"data": BUDGET, "evaluation": rounds[-1].evaluation_steps}
    for number, each in enumerate(rounds):
        folder = out / f"round-{number:02d}"
        assert load_config(folder / "package").provenance["real_steps"] == each.real_steps
        episodes = Rollouts.open(folder / "data").episodes
        assert sum(map(len, episodes)) == each.real_steps - (
            rounds[number - 1].real_steps if number else 0
        )
    assert [r.audit for r in rounds] == [r.stopped for r in rounds] == [None] * 3


def test_budgets_of_later_rounds_may_differ(tmp_path):
    changed = {"next": RECIPE["next"] | {"real_steps": [50, 70]}}
    asked = config(tmp_path, recipe=changed, real_steps=10_000)
    budgets = [affordable(asked, number, 90 * number).real_steps for number in range(5)]
    assert budgets == [90, 50, 70, 70, 70]
    with pytest.raises(ValueError, match=r"next\.real_steps"):
        config(tmp_path, recipe={"next": {"real_steps": []}})


def test_branches_are_the_horizons_of_the_dreams_that_are_learnt_in(whole):
    assert whole[3] == [3, 7, 7]
    stored = [load_config(whole[0] / f"round-{n:02d}" / "package") for n in range(3)]
    assert [(c.defaults.horizon, c.learn.knobs["horizon"]) for c in stored] == [(12, 12)] * 3


@pytest.mark.parametrize(("knobs", "tells"), [({}, False), ({"trust_penalty": 0.1}, True)])
def test_a_dream_tells_its_learner_how_unsure_it_is_where_that_matters(
    whole, tmp_path, monkeypatch, knobs, tells
):
    found: list[bool] = []
    init = DreamVecEnv.__init__

    def recorded(env: Any, source: Any, num_envs: int = 1, **settings: Any) -> None:
        found.append(source.open.knobs.get("uncertainty", True))
        init(env, source, num_envs, **settings)

    monkeypatch.setattr(DreamVecEnv, "__init__", recorded)
    package = whole[0] / "round-00/package"
    learn(package, out=tmp_path / "policy.zip", timesteps=32, knobs=knobs)
    assert found == [tells]


def test_each_round_learns_as_long_as_it_should(whole):
    told = [json.loads((whole[0] / f"round-{n:02d}/learnt.json").read_text()) for n in range(3)]
    assert [t["timesteps"] for t in told] == [64, 32, 32]


def stop_at(stage: str, done: int) -> Callable[..., None]:
    def progress(now: str, count: int, total: int, figures: Any = None) -> None:
        if now == stage and count >= done:
            raise KeyboardInterrupt

    return progress


STOPS = [
    ("round 0: collect", 2),
    ("round 0: ensemble", 5),
    ("round 1: collect", 1),
    ("round 1: learn", 1),
    ("round 1: real", 1),
    ("round 2: dream", 1),
]


def test_stopped_again_and_again_it_ends_the_same(whole, tmp_path):
    for moment in STOPS:
        with pytest.raises(KeyboardInterrupt):
            loop(config(tmp_path / "loop"), stop_at(*moment))
        torch.manual_seed(0)  # whatever else this process does meanwhile
    assert loop(config(tmp_path / "loop")) == whole[1]
    for number in range(3):
        name = f"round-{number:02d}/policy.zip"
        assert same(parameters(tmp_path / "loop" / name), parameters(whole[0] / name))
        one, other = (
            load_package(f / f"round-{number:02d}/package").weights
            for f in (tmp_path / "loop", whole[0])
        )
        assert same(one, other)


def test_tensorboard_has_each_point_once(whole, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loop(config(whole[0]))  # once more, which finds everything done
    events = EventAccumulator(str(whole[0] / "tensorboard"))
    events.Reload()
    points = json.loads((whole[0] / "curve.json").read_text())
    for name, of in {
        "return/real": lambda p: p["real_return"]["mean"],
        "return/dream": lambda p: p["dream_return"]["mean"],
        "return/collected": lambda p: p["collected_return"],
        **{f"held_out/{n}": lambda p, n=n: p["held_out"][n] for n in points[0]["held_out"]},
    }.items():
        shown = sorted((e.step, e.value) for e in events.Scalars(name))
        assert shown == [(p["real_steps"], pytest.approx(of(p), rel=1e-6)) for p in points]


@pytest.mark.parametrize("algorithm", ["PPO", "SAC"])
def test_a_policy_that_goes_on_begins_as_it_ended(tmp_path, begun, algorithm):
    """Networks, optimisers and, of SAC, the entropy coefficient, before anything is learnt."""
    off = {"learning_starts": 8, "batch_size": 8, "gradient_steps": 2, "net_arch": [8]}
    learn = RECIPE["learn"] | {"algo": "sac", "hyperparameters": off}
    changes = {
        "recipe": {
            "learn": learn if algorithm == "SAC" else RECIPE["learn"],
            "first": {"real_steps": 60},
            "next": {"real_steps": 30},
            "keep_model": False,
        },
        "real_steps": 90,
    }
    real = RealSpec(env_id="Pendulum-v1", max_episode_steps=20)
    found = begun(algorithm)
    rounds = loop(config(tmp_path, real, **changes))
    assert [r.real_steps for r in rounds] == [60, 90]
    first, second = found
    kept = load_policy(tmp_path / "round-00" / "policy.zip")
    assert not same(first["policy"], kept.policy.state_dict())
    assert flat({n: v for n, v in second.items() if n != "entropy"}) == flat(kept.get_parameters())
    if algorithm == "SAC":
        assert first["entropy"] == 0.0
        assert second["entropy"] == kept.log_ent_coef.item() != 0.0
    # And the model did not: it is what the round's data alone make of nothing.
    data = [tmp_path / f"round-{n:02d}" / "data" for n in range(2)]
    recipe = config(tmp_path, real, **changes).recipe
    again = train_ensemble(data, tmp_path / "again", recipe.training(1, 1))
    assert same(again.weights, load_package(tmp_path / "round-01" / "package").weights)


def flat(value: Any, name: str = "") -> dict[str, list[float]]:
    """The numbers in state dicts of networks and optimisers, by where they are."""
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {n: v for key, one in items for n, v in flat(one, f"{name}/{key}").items()}
    return {name: torch.as_tensor(value).flatten().tolist()} if value is not None else {}


def test_a_model_that_goes_on_is_trained_from_the_last_one(whole, tmp_path):
    out = whole[0]
    data = [out / f"round-{n:02d}" / "data" for n in range(2)]
    training = config(out).recipe.training(1, 1)
    first = load_package(out / "round-00" / "package")
    for name, initial, equal in (("on", first, True), ("anew", None, False)):
        made = train_ensemble(data, tmp_path / name, training, initial=initial)
        kept = load_package(out / "round-01" / "package")
        assert same(made.weights, kept.weights) == equal


def test_an_audit_of_a_round_counts_its_frames_as_evaluation(tmp_path):
    with Counted() as counted:
        (only,) = loop(config(tmp_path, recipe={"audit": True, "rounds": 1}))
    audit = json.loads((tmp_path / "round-00" / "audit" / "audit.json").read_text())
    scores = json.loads((tmp_path / "round-00" / "evaluation.json").read_text())
    assert only.real_steps == 90
    assert only.evaluation_steps == sum(counted.frames.values()) - 90
    assert only.evaluation_steps > sum(scores["real"]["lengths"])
    assert only.audit == audit["verdict"]["word"]
    assert json.loads((tmp_path / "curve.json").read_text())[0]["audit"] == only.audit
    assert audit["settings"]["deterministic"]


def test_actions_that_are_repeated_stay_within_the_budget(tmp_path):
    spec = RealSpec(env_id="CartPole-v1", preprocessing=[ActionRepeat(times=4)])
    with Counted() as counted:
        rounds = loop(config(tmp_path, spec, recipe={"rounds": 2}, real_steps=141))
    assert counted.frames["data"] == rounds[-1].real_steps <= 140
    assert rounds[0].real_steps in range(87, 91)
    assert rounds[1].real_steps - rounds[0].real_steps in range(47, 51)
    assert all(
        Rollouts.open(tmp_path / f"round-{number:02d}" / "data").complete for number in range(2)
    )


def test_a_restraint_holds_the_dream_against_all_real_episodes_so_far(whole, tmp_path, monkeypatch):
    """CartPole pays 1 a decision, as its dream does: a bound above that lets it learn, one below
    stops it in every round."""
    for pace, stopped in ((1.05, False), (0.5, True)):
        out = tmp_path / str(pace)
        restraint = {"window": 2, "pace": pace}
        changes = {"recipe": {"restraint": restraint, "rounds": 2}}
        rounds = loop(config(out, **changes))
        assert [r.stopped is not None for r in rounds] == [stopped] * 2
        again = loop(config(out, **changes))
        assert [r.stopped for r in again] == [r.stopped for r in rounds]
        if stopped:
            assert "beyond the 0.5 that real episodes vouch for" in str(rounds[0].stopped)


@pytest.mark.parametrize(
    ("real", "changes", "message"),
    [
        ("CartPole-v1", {"algo": "sac"}, "sac: expected a learner of discrete actions"),
        ("Pendulum-v1", {"algo": "dqn"}, "dqn: expected a learner of continuous actions"),
        ("CartPole-v1", {"algo": "cma"}, "cma: expected a recipe without keep_policy"),
        ("CartPole-v1", {"algo": "trpo"}, "algo: expected one of ppo, .*, got 'trpo'"),
        ("CartPole-v1", {"recipe": UNTOLD}, "unsure: .*uncertainty=False does not tell how"),
    ],
)
def test_a_learner_that_would_fail_is_refused_before_anything_is_recorded(
    tmp_path, real, changes, message
):
    with pytest.raises(DataError, match=message):
        loop(config(tmp_path / "out", real, **changes))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("before", "recipe"),
    [
        (120, {}),  # the last round's 30 frames are fewer than a round's 50
        (140, EPISODES),  # and 10 episodes fewer than 20
    ],
)
def test_a_larger_budget_goes_on_with_what_a_smaller_one_had_begun(tmp_path, before, recipe):
    recipe = recipe | {"rounds": 3}
    with pytest.raises(KeyboardInterrupt):
        loop(config(tmp_path, real_steps=before, recipe=recipe), stop_at("round 1: collect", 1))
    data = tmp_path / "round-01" / "data"
    begun = (data / "manifest.json").read_bytes()
    rounds = loop(config(tmp_path, real_steps=300, recipe=recipe))
    assert (data / "manifest.json").read_bytes() == begun
    assert Rollouts.open(data).complete
    assert len(rounds) == 3
    assert rounds[-1].real_steps <= 300


def test_a_larger_rounds_frames_count_before_they_are_in_the_curve(whole, tmp_path):
    """Collected under a larger budget, and killed: too much for a smaller one, which says so."""
    with pytest.raises(KeyboardInterrupt):
        loop(config(tmp_path), stop_at("round 1: ensemble", 1))
    with pytest.raises(DataError, match=r"expected at least the 140 that the loop .*, got 125"):
        loop(config(tmp_path, real_steps=125))
    assert loop(config(tmp_path)) == whole[1]


@pytest.mark.parametrize(
    ("limit", "registered", "longest"), [(None, 200, 200), (30, 200, 30), (None, None, 1000)]
)
def test_rounds_of_episodes_are_as_many_as_the_longest_would_leave(
    tmp_path, monkeypatch, limit, registered, longest
):
    monkeypatch.setattr(gym.spec("Pendulum-v1"), "max_episode_steps", registered)
    spec = RealSpec(env_id="Pendulum-v1", max_episode_steps=limit)
    recipe = {"first": {"episodes": 100}}
    asked = affordable(config(tmp_path, spec, recipe=recipe, real_steps=9 * longest + 1), 0, 0)
    assert asked is not None
    assert asked.episodes == 9
    # What nobody else ends, collection does.
    assert asked.max_decisions == (longest if registered is None else None)


def test_a_budget_below_what_was_used_is_refused_and_changes_nothing(whole, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(whole[0], out)
    before = (out / "policy.zip").read_bytes()
    with pytest.raises(DataError, match=f"expected at least the {BUDGET} that the loop"):
        loop(config(out, real_steps=100))
    assert (out / "policy.zip").read_bytes() == before


def test_a_family_that_cannot_model_the_env_is_refused_before_anything_is_recorded(tmp_path):
    wrong = {"family": "mdnrnn", "sizes": {}}
    with pytest.raises(DataError, match=r'expected frames, .* got Box.*"family": "ensemble"'):
        loop(config(tmp_path / "loop", recipe=wrong))
    with pytest.raises(DataError, match=r"at least 30 frames of the first round, got 29"):
        loop(config(tmp_path / "loop", real_steps=29))
    assert not (tmp_path / "loop").exists()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """Figures that were saved."""
    found: list[Figure] = []
    save = Figure.savefig

    def saved(figure: Figure, *arguments: Any, **more: Any) -> None:
        found.append(figure)
        save(figure, *arguments, **more)

    monkeypatch.setattr(Figure, "savefig", saved)
    return found


def test_the_curve_is_drawn_with_and_without_a_control(tmp_path, drawn):
    from dreamenv.curve import draw_curve

    def point(steps: int, real: float) -> dict[str, Any]:
        figures = {"mean": real, "low": real - 1, "high": real + 2}
        return {"real_steps": steps, "real_return": figures, "dream_return": figures}

    (tmp_path / "curve.json").write_text(json.dumps([point(10, 3.0), point(20, 5.0)]))
    assert draw_curve(tmp_path) == tmp_path / "curve.png"
    told = {"algo": "sac", "points": [point(40, 1.0), point(80, 2.0), point(120, 4.0)]}
    (tmp_path / "control.json").write_text(json.dumps(told))
    draw_curve(tmp_path)
    (tmp_path / "curve.json").unlink()
    draw_curve(tmp_path)
    real, dream = (([10, 20], [3.0, 5.0]) for _ in range(2))
    alone = ([40, 80, 120], [1.0, 2.0, 4.0])
    lines = [
        [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in figure.axes[0].lines]
        for figure in drawn
    ]
    assert lines == [[real, dream], [real, dream, alone], [alone]]
    assert drawn[1].axes[0].lines[2].get_label() == "sac alone, on the real env"
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob(".*"))


def test_a_loop_and_its_control_may_draw_at_once(tmp_path, monkeypatch):
    from dreamenv.curve import draw_curve

    save, process = Figure.savefig, os.getpid()

    def saved(figure: Figure, *arguments: Any, **more: Any) -> None:
        save(figure, *arguments, **more)
        if os.getpid() == process:  # another one draws, from first to last
            with monkeypatch.context() as patch:
                patch.setattr(os, "getpid", lambda: process + 1)
                draw_curve(tmp_path)

    monkeypatch.setattr(Figure, "savefig", saved)
    figures = {"mean": 0.0, "low": 0.0, "high": 0.0}
    point = {"real_steps": 1, "real_return": figures, "dream_return": figures}
    (tmp_path / "curve.json").write_text(json.dumps([point]))
    assert draw_curve(tmp_path) == tmp_path / "curve.png"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curve.json", "curve.png"]


def test_evaluation_is_of_episodes_that_nobody_learnt_from(whole):
    seeds = set(whole[2].seeds)
    rounds = [set(evaluation_seeds(1000 + n, 2)) for n in range(3)]
    assert {s for s in seeds if s >= 2**31} == set.union(*rounds)
