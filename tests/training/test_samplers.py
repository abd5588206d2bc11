"""The order of training samples: a function of seed and epoch alone."""

import numpy as np
import pytest

from sciml.training.samplers import EpochBatches


def order(seed: int, epoch: int) -> list[int]:
    sampler = EpochBatches([None] * 50, 8, seed=seed)
    list(sampler)
    sampler.set_epoch(epoch)
    return [i - 50 * epoch for batch in sampler for i in batch]


def test_order_depends_on_seed_and_epoch_alone() -> None:
    assert order(0, 3) == order(0, 3)
    assert sorted(order(0, 3)) == list(range(50))
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_samples_come_as_one_permutation_cut_into_batches() -> None:
    expected = np.random.default_rng([5, 2]).permutation(7)
    sampler = EpochBatches([None] * 7, 3, seed=5)
    sampler.set_epoch(2)
    assert list(sampler) == [(14 + part).tolist() for part in np.split(expected, [3, 6])]


def test_batches_of_samples_that_have_a_shape_are_permuted_even_if_it_is_but_one() -> None:
    rng = np.random.default_rng([5, 2])
    batches = np.split(14 + rng.permutation(7), [3, 6])
    sampler = EpochBatches([(3, 4)] * 7, 3, seed=5)
    sampler.set_epoch(2)
    assert list(sampler) == [batches[k].tolist() for k in rng.permutation(3)]


def test_order_of_several_shapes() -> None:
    sampler = EpochBatches(["a", "b", "a", "a", "b"], 2, seed=3)
    sampler.set_epoch(1)
    rng = np.random.default_rng([3, 1])
    samples = rng.permutation(5).tolist()
    a, b = ([i for i in samples if i in of] for of in ((0, 2, 3), (1, 4)))
    batches = [a[:2], a[2:], b]
    assert list(sampler) == [[5 + i for i in batches[k]] for k in rng.permutation(3)]


def test_order_is_a_function_of_seed_and_epoch() -> None:
    shapes = ["a", "b", "a", "a", "b"]
    sampler = EpochBatches(shapes, 2, seed=3)
    epochs = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
        assert len(epochs[-1]) == len(sampler)
        assert sorted(i for batch in epochs[-1] for i in batch) == [5 * epoch + i for i in range(5)]
        assert all(len({shapes[i % 5] for i in batch}) == 1 for batch in epochs[-1])
    sampler.set_epoch(2)
    assert list(sampler) == epochs[2]
    assert [i % 5 for b in epochs[0] for i in b] != [i % 5 for b in epochs[1] for i in b]


@pytest.mark.parametrize("n", [0, 1, 4, 5])
def test_without_a_seed_samples_come_as_they_are_stored(n: int) -> None:
    sampler = EpochBatches([None] * n, 2)
    sampler.set_epoch(3)
    assert [i for batch in sampler for i in batch] == list(range(n))
    assert len(list(sampler)) == len(sampler) == -(-n // 2)
