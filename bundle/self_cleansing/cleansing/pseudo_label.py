# SPDX-License-Identifier: Apache-2.0
"""Label every pixel whose feature resembles the prototypes of the predicted region (Eq. 6)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .grid import grid_features
from .prototypes import mean_direction, prototype_direction

Variant = Literal["prototypes", "mean", "prediction"]


class PseudoLabel(NamedTuple):
    """A new label, before post-processing.

    Attributes:
        label: bool (B, K, H, W); all False where `found` is False.
        found: bool (B, K), False where the network gave nothing to work from: see `resolve_empty`.
    """

    label: Tensor
    found: Tensor


def similarity(features: Tensor, direction: Tensor) -> Tensor:
    """Average the cosine similarity of each pixel to all prototypes.

    Eq. 6: P(q) = mean_m cos(f_q, proto_m) = f^_q . mean_m proto^_m, taken as (f_q . mean_m proto^_m) / |f_q|: one
    matrix product and one norm, without a normalised copy of the features.

    Args:
        features: float (B, F, H, W); float32 in the channels_last layout is read where it lies.
        direction: float (B, K, F), the mean of the prototypes' unit vectors.

    Returns:
        float32 (B, K, H, W) in [-1, 1]; 0 for a pixel with a zero feature, or a class without prototypes.

    Reference: Eq. 6, Deep self-cleansing, doi 10.1002/mp.70007.
    """
    by_pixel = features.float().flatten(2)  # (B, F, H * W), a view of channels_last features, too
    length = torch.linalg.vector_norm(by_pixel, dim=1, keepdim=True).clamp(min=1e-12)  # a zero vector: 0 / 1e-12
    return (direction.float() @ by_pixel / length).unflatten(2, features.shape[2:])


@torch.no_grad()
def cleanse(
    features: Tensor,
    region: Tensor,
    *,
    variant: Variant = "prototypes",
    grid_size: int = 64,
    sigma: float = 0.7,
    mu: float = 0.7,
) -> PseudoLabel:
    """Make a pseudo label for each class of each sample.

    Args:
        features: float (B, F, H, W).
        region: bool (B, K, H, W), the predicted region R = {p : prediction > 0.5} of each class.
        variant: 'prototypes' as in the paper; 'mean', one prototype per region (LCM(avg)); 'prediction', the region
            itself (LCM(pred)), for which `features` and the numbers below play no part.
        grid_size: G of Eq. 4, for 'prototypes'.
        sigma: threshold on the representation degree, for 'prototypes'.
        mu: threshold on the similarity.

    Returns:
        the label and whether there was something to make it from. A label may be empty although found is True, when
        no pixel is similar enough.

    Raises:
        ValueError: if shapes do not fit, G does not divide the image, or the variant is unknown.

    Reference: Sec. 2.3, Deep self-cleansing, doi 10.1002/mp.70007.
    """
    if variant == "prediction":
        return PseudoLabel(region.clone(), region.flatten(2).any(dim=2))
    if variant == "prototypes":
        direction = prototype_direction(*grid_features(features, region, grid_size), sigma)
    elif variant == "mean":
        direction = mean_direction(features, region)
    else:
        raise ValueError(f"variant must be 'prototypes', 'mean' or 'prediction', got {variant!r}")
    # A region whose features all vanish has no direction either; it is as good as empty.
    return PseudoLabel(similarity(features, direction) > mu, (direction != 0).any(dim=2))


def resolve_empty(new: PseudoLabel, previous: Tensor, manual: Tensor) -> Tensor:
    """Fall back where the network predicted nothing: to y' if it is non-empty, else to the given label y.

    Args:
        new: from `cleanse`, its label post-processed or not.
        previous: bool (B, K, H, W), the pseudo label y' in force.
        manual: bool (B, K, H, W), the given label y.

    Returns:
        bool (B, K, H, W).
    """
    has_previous = previous.flatten(2).any(dim=2)[..., None, None]
    return torch.where(new.found[..., None, None], new.label, torch.where(has_previous, previous, manual))
