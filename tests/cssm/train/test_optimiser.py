"""The optimiser against the formulas of the training specification, section 4."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cssm.train.optimiser import decays, learning_rate, make_optimiser


@pytest.mark.parametrize("total, warmup", [(4000, 500), (300, 299)])
def test_schedule_is_linear_then_a_cosine_to_a_hundredth(total, warmup):
    schedule, peak = learning_rate(3e-3, total), 3e-3
    for step in (0, warmup // 2, warmup, (warmup + total) // 2, total, total + 50):
        if step <= warmup:
            expected = peak * step / warmup
        else:
            done = min(step - warmup, total - warmup) / (total - warmup)
            expected = peak * (0.01 + 0.99 * (1 + np.cos(np.pi * done)) / 2)
        np.testing.assert_allclose(schedule(step), expected, rtol=1e-5, atol=1e-9)


PARAMS = {
    "conv": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones((2,))},
    "norm": {"scale": jnp.ones((1, 2))},
    "gate": {"decay_gate": jnp.ones((2, 2)), "mix_logit": jnp.ones((2, 2))},
}


def test_only_kernels_decay():
    assert jax.tree.leaves(decays(PARAMS)) == [False, True, False, False, False]
    optimiser = make_optimiser(optax.constant_schedule(0.1), weight_decay=0.5)
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    updates, _ = optimiser.update(zeros, optimiser.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["conv"]["kernel"], -0.05, rtol=1e-6)
    updates["conv"]["kernel"] = jnp.zeros(())
    assert all(not leaf.any() for leaf in jax.tree.leaves(updates))
    everything = make_optimiser(optax.constant_schedule(0.1), weight_decay=0.5, decay_all=True)
    updates, _ = everything.update(zeros, everything.init(PARAMS), PARAMS)
    assert all(np.allclose(leaf, -0.05) for leaf in jax.tree.leaves(updates))


def test_five_bad_gradients_are_skipped_and_a_good_one_starts_the_count_anew():
    optimiser = make_optimiser(optax.constant_schedule(0.1))
    params = {"w": jnp.ones((2, 2))}
    bad, good = {"w": jnp.array([[1.0, jnp.nan], [0, 0]])}, {"w": jnp.ones((2, 2))}
    state = optimiser.init(params)
    for _ in range(2):
        for _ in range(5):
            updates, state = optimiser.update(bad, state, params)
            assert not updates["w"].any()
        updates, state = optimiser.update(good, state, params)
        assert np.isfinite(updates["w"]).all()
        assert updates["w"].all()
    for _ in range(6):
        updates, state = optimiser.update(bad, state, params)
    assert np.isnan(updates["w"]).any(), "the sixth in a row shows"


def test_accumulated_gradients_are_those_of_the_whole_batch(rng):
    params = {"w": jnp.ones((3, 2))}
    parts = [{"w": jnp.asarray(rng.standard_normal((3, 2)))} for _ in range(4)]
    whole = jax.tree.map(lambda *leaves: sum(leaves) / 4, *parts)
    one, four = (make_optimiser(optax.constant_schedule(0.1), accumulate=n) for n in (1, 4))
    expected, _ = one.update(whole, one.init(params), params)
    state = four.init(params)
    for part in parts:
        updates, state = four.update(part, state, params)
    np.testing.assert_allclose(updates["w"], expected["w"], rtol=1e-6)


def test_unknown_optimiser():
    with pytest.raises(ValueError, match="optimizer: got 'adam', expected one of adamw, muon, lamb, sgd"):
        make_optimiser(optax.constant_schedule(0.1), name="adam")
