"""ListModels and GetModel: all that a client must know before it opens a session."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dreamenv_client.v1 import dream_pb2 as pb
from grpc import StatusCode
from raw_dreams import Dreams, refused
from raw_tensors import DTYPES, array, bounds


def test_models_are_listed_without_config(dreams: Dreams, model: pb.Model):
    models = dreams.ListModels(pb.ListModelsRequest()).models
    names = [each.name for each in models]
    assert len(set(names)) == len(names)
    assert all(each.config == "" for each in models)
    (listed,) = (each for each in models if each.name == model.name)
    whole = pb.Model()
    whole.CopyFrom(model)
    whole.ClearField("config")
    assert listed == whole


def test_a_model_tells_what_it_is(model: pb.Model):
    assert model.identity
    assert model.fingerprint
    assert model.steps_per_second > 0
    assert isinstance(json.loads(model.config), dict)


def test_every_default_knob_is_told(model: pb.Model):
    defaults = model.defaults
    assert defaults.WhichOneof("temperature") is not None
    assert defaults.termination in ("sample", "threshold", "none")
    assert 0 < defaults.termination_temperature <= 100
    assert 1 <= defaults.horizon <= 10_000_000
    for name in ("trust_penalty", "trust_limit"):
        assert defaults.HasField(name)
        assert 0 <= getattr(defaults, name) <= 1_000_000
    if json.loads(model.config).get("trust") is None:
        assert defaults.trust_penalty == defaults.trust_limit == 0


def test_spaces(model: pb.Model):
    kinds = [each.kind for each in model.observations]
    assert len(set(kinds)) == len(kinds)
    assert set(kinds) <= {"features", "latent", "pixels"}
    assert "features" in kinds
    for space in [model.action_space, *(each.space for each in model.observations)]:
        if space.HasField("discrete"):
            assert space.discrete.n >= 1
            continue
        box = space.box
        for bound in (box.low, box.high):
            assert bound.dtype == box.dtype
            assert tuple(bound.shape) in ((), tuple(box.shape))
            assert array(bound).dtype == DTYPES[box.dtype]
        low, high = bounds(box)
        assert np.all(low < high)
    for each in model.observations:
        assert each.space.HasField("box")


@pytest.mark.parametrize("name", ["", "no such model", "../../etc/passwd", "x" * 10_000])
def test_an_unknown_model(dreams: Dreams, name: str):
    with refused(StatusCode.NOT_FOUND):
        dreams.GetModel(pb.GetModelRequest(name=name))
