"""The random streams against Random123's vectors, slow Python and scipy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dreamenv.dream.draws import draw_episodes, draw_steps
from dreamenv.dream.streams import (
    Purpose,
    blocks,
    in_order,
    normals,
    philox4x32,
    random_words,
    uniforms,
)
from dreamenv.models.world_model import NoiseShape

SHAPE = NoiseShape(uniform=32, normal=32, start_uniform=40)
WORDS = st.integers(0, 2**32 - 1)


def slow_philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 as the paper writes it (Salmon et al. 2011, fig. 2), in Python's integers."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 % 2**32, (p0 >> 32) ^ c3 ^ k1, p0 % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


def fast_philox(counter: list[int], key: list[int]) -> list[int]:
    w0, w1, w2, w3 = counter
    words = torch.tensor([w0, w2, w1, w3]).view(4, 1, 1)
    w0, w2, w1, w3 = philox4x32(words, torch.tensor(key).view(2, 1)).flatten().tolist()
    return [w0, w1, w2, w3]


# Random123-1.14, tests/kat_vectors, "philox4x32 10".
KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([2**32 - 1] * 4, [2**32 - 1] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_gives_the_published_vectors(counter, key, expected):
    assert slow_philox(counter, key) == expected
    assert fast_philox(counter, key) == expected


@given(st.lists(WORDS, min_size=4, max_size=4), st.lists(WORDS, min_size=2, max_size=2))
def test_philox_is_the_papers(counter, key):
    assert fast_philox(counter, key) == slow_philox(counter, key)


def slow_word(seed: int, episode: int, step: int, purpose: int, index: int) -> int:
    group, within = divmod(index, 32)
    word, block = divmod(within, 8)
    counter = [8 * group + block, step, episode, purpose]
    # Radii come from words 0 and 2, angles from 1 and 3: the words lie in this order.
    return slow_philox(counter, [seed % 2**32, seed >> 32])[[0, 2, 1, 3][word]]


@given(
    seed=st.integers(0, 2**63 - 1),
    episode=st.integers(0, 2**31),
    step=st.integers(0, 2**31),
    count=st.integers(1, 70),
    data=st.data(),
)
def test_a_number_is_a_function_of_its_labels(seed, episode, step, count, data):
    index = data.draw(st.integers(0, count - 1))
    block = torch.arange(blocks(count))
    steps = torch.full((2, 1), step)
    words = random_words(
        torch.tensor([3, seed]), torch.tensor([4, episode]), steps, block, Purpose.BEGIN
    )
    ordered = in_order(words, count)
    assert ordered.shape == (2, count)
    assert int(ordered[1, index]) == slow_word(seed, episode, step, Purpose.BEGIN, index)


@given(WORDS)
def test_uniforms_are_strictly_inside(word):
    value = float(uniforms(torch.tensor([word]))[0])
    assert 0.0 < value < 1.0
    assert value == ((word >> 9) + 0.5) / 2**23


def test_normals_are_box_and_mullers():
    words = torch.from_numpy(np.random.default_rng(0).integers(0, 2**32, (4, 77)))
    u = ((words.numpy() >> 9) + 0.5) / 2**23
    radius, angle = np.sqrt(-2 * np.log(u[:2])), 2 * np.pi * u[2:]
    expected = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    np.testing.assert_allclose(normals(words).numpy(), expected, atol=2e-6)


def test_normals_do_not_depend_on_their_place():
    words = torch.from_numpy(np.random.default_rng(1).integers(0, 2**32, (4, 20_000)))
    whole = normals(words)
    for start, stop in [(0, 1), (5, 6), (3, 40), (7, 1000), (11, 19_999)]:
        assert torch.equal(normals(words[:, start:stop].contiguous()), whole[:, start:stop])


def steps_of(seeds, episode=0, first=0, steps=64):
    seeds = torch.tensor(seeds)
    return draw_steps(
        SHAPE, seeds, torch.full_like(seeds, episode), torch.full_like(seeds, first), steps
    )


@pytest.mark.parametrize("seeds", [list(range(64)), [2**62 + 977 * i for i in range(64)]])
def test_streams_are_uniform_and_normal(seeds):
    drawn = steps_of(seeds)
    for values in (drawn.uniform.numpy(), drawn.termination):
        flat = values.ravel().astype(np.float64)
        assert stats.kstest(flat, "uniform").pvalue > 1e-3
        assert stats.chisquare(np.histogram(flat, 256, (0, 1))[0]).pvalue > 1e-3
        low = (flat * 2**23).astype(np.int64) % 256  # the lowest bits as well
        assert stats.chisquare(np.bincount(low, minlength=256)).pvalue > 1e-3
    assert stats.kstest(drawn.normal.flatten().numpy(), "norm").pvalue > 1e-3


def independent(a: np.ndarray, b: np.ndarray) -> bool:
    """Neither correlated, nor dependent in a table of 16 by 16 (a chi-squared test)."""
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    rank = [stats.rankdata(x) / (len(x) + 1) for x in (a, b)]
    table = np.histogram2d(*rank, bins=16, range=[[0, 1], [0, 1]])[0]
    return (
        stats.pearsonr(a, b).pvalue > 1e-3
        and stats.chi2_contingency(table).pvalue > 1e-3
        and not np.isin(a, b[:1]).all()
    )


def test_lanes_steps_episodes_seeds_and_purposes_are_independent():
    drawn = steps_of(list(range(65)))
    for values in (drawn.uniform.numpy(), drawn.normal.numpy()):
        assert independent(values[:, :-1], values[:, 1:])  # lanes: seeds s and s + 1
        assert independent(values[:-1], values[1:])  # steps t and t + 1
        assert independent(values[..., :-1], values[..., 1:])  # neighbours
    following = steps_of(list(range(65)), episode=1)
    assert independent(drawn.uniform.numpy(), following.uniform.numpy())
    assert independent(drawn.uniform.numpy(), drawn.normal.numpy())
    assert independent(drawn.uniform[..., 0].numpy(), drawn.termination)
    far = steps_of([s + 2**32 for s in range(65)])  # the seeds' upper halves count too
    assert independent(drawn.uniform.numpy(), far.uniform.numpy())


def test_box_and_mullers_pairs_are_independent():
    normal = steps_of(list(range(64))).normal.numpy()
    assert independent(normal[..., :16], normal[..., 16:])
    assert independent(np.abs(normal[..., :16]), np.abs(normal[..., 16:]))


def test_no_block_is_ever_dealt_twice():
    """Words of 64 bits: a birthday among 250,000 has a chance of one in 600 million."""
    seeds = torch.arange(50)
    dealt = [
        random_words(
            seeds, seeds * 0 + episode, torch.arange(100).repeat(50, 1), torch.zeros(100).long(), p
        )
        for episode in (0, 1)
        for p in Purpose
    ]
    words = torch.cat([d.flatten(1) for d in dealt], dim=1)
    both = (words[0] << 31) ^ words[1]
    assert len(torch.unique(both)) == both.numel() == 50 * 100 * 2 * len(Purpose)


def test_a_draw_does_not_depend_on_its_company():
    seeds, episodes = torch.arange(40), torch.arange(40) % 3
    first = torch.arange(40) * 5
    all_lanes = draw_steps(SHAPE, seeds, episodes, first, 9)
    some = torch.tensor([33, 4])
    alone = draw_steps(SHAPE, seeds[some], episodes[some], first[some] + 2, 4)
    assert torch.equal(all_lanes.uniform[2:6, some], alone.uniform)
    assert torch.equal(all_lanes.normal[2:6, some], alone.normal)
    np.testing.assert_array_equal(all_lanes.termination[2:6, some], alone.termination)
    begun = draw_episodes(SHAPE, seeds, episodes)
    again = draw_episodes(SHAPE, seeds[some], episodes[some])
    np.testing.assert_array_equal(begun.start[some], again.start)
    np.testing.assert_array_equal(begun.temperature[some], again.temperature)
    assert torch.equal(begun.begin[some], again.begin)


def test_one_purpose_does_not_disturb_another():
    """A family that wants more uniforms gets the same normals, and the same first uniforms."""
    seeds = torch.arange(5)
    few = draw_steps(NoiseShape(uniform=3, normal=6), seeds, seeds, seeds, 2)
    many = draw_steps(NoiseShape(uniform=90, normal=6), seeds, seeds, seeds, 2)
    assert torch.equal(few.normal, many.normal)
    np.testing.assert_array_equal(few.termination, many.termination)
    assert torch.equal(few.uniform, many.uniform[..., :3])
    none = draw_steps(NoiseShape(uniform=0, normal=0), seeds, seeds, seeds, 2)
    assert none.uniform.shape == none.normal.shape == (2, 5, 0)
    np.testing.assert_array_equal(none.termination, many.termination)
