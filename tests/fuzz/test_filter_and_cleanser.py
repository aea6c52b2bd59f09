# SPDX-License-Identifier: Apache-2.0
"""Filter, cleanser and post-processing: what they may not do, and what must not matter to them."""

from __future__ import annotations

import numpy as np
import torch
from fuzz.strategies import floats, masks, seeds
from hypothesis import given
from hypothesis import strategies as st
from monai.bundle import ConfigParser
from running import ROOT
from scipy import ndimage

from bundle.self_cleansing.cleansing import cleanse, postprocess
from bundle.self_cleansing.cleansing.postprocess import drop_small_components
from bundle.self_cleansing.cleansing.pseudo_label import similarity
from bundle.self_cleansing.filtering import compare_areas, displacement_filter

FRACTIONS = st.floats(0, 1)
INTENSITY = ConfigParser.load_config_file(ROOT / "configs" / "train.yaml")["intensity"]
INTENSITY = ConfigParser({"intensity": INTENSITY}).get_parsed_content("intensity")


@given(masks(3, 12, 14), FRACTIONS)
def test_dropping_specks_twice_is_dropping_them_once(stack, fraction):
    once = drop_small_components(stack, fraction)
    assert np.array_equal(drop_small_components(once, fraction), once) and not (once & ~stack).any()


@given(masks(3, 12, 14), FRACTIONS, st.permutations(range(3)))
def test_post_processing_keeps_masks_and_minds_no_other_slice(stack, fraction, order):
    done = postprocess(stack, fraction)
    assert done.dtype == bool and done.shape == stack.shape
    assert np.array_equal(postprocess(stack[order], fraction), done[order])
    assert np.array_equal(done[~stack.any(axis=(1, 2))], stack[~stack.any(axis=(1, 2))])  # empty stays empty
    filled = np.stack([ndimage.binary_fill_holes(one) for one in stack])
    assert not (done & ~filled).any()  # nothing is added but in holes
    assert np.array_equal(postprocess(stack, 0.0), stack)


@given(floats(2, 4, 8, 8, low=-1e3, high=1e3), masks(2, 3, 8, 8), st.permutations(range(3)), st.floats(-1, 1))
def test_the_cleanser_treats_every_class_alike(features, region, order, mu):
    seen, inside = torch.from_numpy(features), torch.from_numpy(region)
    for variant in ("prototypes", "mean", "prediction"):
        made = cleanse(seen, inside, variant=variant, grid_size=4, mu=mu)
        turned = cleanse(seen, inside[:, order], variant=variant, grid_size=4, mu=mu)
        assert made.label.dtype == made.found.dtype == torch.bool and made.label.shape == inside.shape
        assert torch.equal(turned.found, made.found[:, order])
        assert not made.found[~inside.flatten(2).any(2)].any()  # no region, nothing found
        if variant == "prediction":
            assert torch.equal(made.label, inside) and torch.equal(turned.label, inside[:, order])


@given(floats(2, 4, 6, 6, low=-1e3, high=1e3), floats(2, 3, 4, low=-1, high=1))
def test_a_similarity_is_a_number_no_larger_than_the_direction_s_length(features, direction):
    found = similarity(torch.from_numpy(features), torch.from_numpy(direction))
    length = torch.linalg.vector_norm(torch.from_numpy(direction), dim=2)[..., None, None]
    assert bool(found.isfinite().all()) and bool((found.abs() <= length + 1e-4).all())


def areas_of(seed: int, samples: int) -> list[np.ndarray]:
    """Areas of drawn discs against predictions that are off by a little, some by much; some of either are empty."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:24, :24]
    distance = np.hypot(rows - 12, columns - 12)
    radii = rng.uniform(3, 9, (samples, 2, 1, 1))
    label = distance <= radii + rng.choice([0, 0, 0, 3, -2, -20], radii.shape)
    pred = distance <= radii + rng.normal(0, 0.5, radii.shape) - rng.choice([0] * 9 + [20], radii.shape)
    return [area.numpy() for area in compare_areas(torch.from_numpy(label), torch.from_numpy(pred))]


@given(seeds, st.integers(0, 60), st.sampled_from(["image", "class"]))
def test_verdicts_follow_samples_and_classes_wherever_they_stand(seed, samples, unit):
    areas = areas_of(seed, samples)
    found = displacement_filter(*areas, unit=unit)
    assert found.clean.dtype == found.by_rule.dtype == bool and found.clean.shape == (samples, 2)
    assert ((found.posterior >= 0) & (found.posterior <= 1)).all()  # refuses NaN, too
    order = np.random.default_rng(seed).permutation(samples)
    turned = displacement_filter(*(area[order] for area in areas), unit=unit)
    assert np.array_equal(turned.clean, found.clean[order])
    assert np.allclose(turned.posterior, found.posterior[order])
    swapped = displacement_filter(*(area[:, ::-1] for area in areas), unit=unit)
    assert np.allclose(swapped.posterior, found.posterior[:, ::-1], atol=1e-6)


@given(seeds, st.floats(1e-3, 1e3))
def test_the_unit_of_intensities_does_not_matter(seed, factor):
    image = np.random.default_rng(seed).gamma(2.0, 100.0, (1, 12, 10, 3)).astype(np.float32)
    one, other = (INTENSITY({"image": torch.from_numpy(image * np.float32(by))})["image"] for by in (1, factor))
    assert torch.allclose(one, other, atol=1e-4) and float(one.min()) >= 0 and float(one.max()) <= 1
