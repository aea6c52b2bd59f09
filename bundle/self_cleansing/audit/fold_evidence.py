# SPDX-License-Identifier: Apache-2.0
"""All that an audit keeps of one fold: predictions, evidence on the given labels, and on damaged copies of them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..cleansing import postprocess
from ..data.whole_file import whole_file
from .damage import damage
from .evidence import evidence


@dataclass(frozen=True)
class FoldEvidence:
    """For the n samples of a fold, K classes and m damaged copies.

    Attributes:
        samples: indices of the samples in the audit, int64 (n,).
        given: `evidence` of the given labels, float32 (n, K, F).
        damaged: of the damaged copies, float32 (m, K, F).
        kinds: int8 (m, K), see `damage`.
        origin: index in the audit of the sample that each copy was made from, int64 (m,).
        probs_crc32: checksum of the predictions that all this was found with; earlier versions did not keep it.
    """

    samples: NDArray[np.int64]
    given: NDArray[np.float32]
    damaged: NDArray[np.float32]
    kinds: NDArray[np.int8]
    origin: NDArray[np.int64]
    probs_crc32: int = -1

    def save(self, path: Path) -> None:
        with whole_file(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **{one.name: getattr(self, one.name) for one in fields(self)})

    @classmethod
    def load(cls, path: Path) -> FoldEvidence:
        with np.load(path, allow_pickle=False) as stored:
            return cls(**{name: stored[name] for name in stored.files})

    def check(self, probs: NDArray[np.uint8]) -> None:
        """Raise ValueError if this was not found with `probs`."""
        if self.probs_crc32 != zlib.crc32(probs.data):
            raise ValueError("the predictions have another checksum than those that were judged")


def fold_evidence(
    samples: NDArray[np.int64],
    case_index: NDArray[np.int64],
    labels: NDArray[np.uint8],
    probs: NDArray[np.uint8],
    copies: int,
    seed: int,
    progress: bool = True,
) -> FoldEvidence:
    """Compare the given labels of a fold, and damaged copies of them, with its predictions.

    Args:
        samples: indices of the fold's n samples in the audit, int64 (n,); the slices of a case in order.
        case_index: the case of each, int64 (n,).
        labels: given labels, uint8 (n, K, H, W) of 0 and 1.
        probs: out-of-sample probabilities, uint8 (n, K, H, W) in steps of 1/255.
        copies: damaged copies per sample.
        seed: of the damage.
        progress: show a bar.
    """
    rng = np.random.default_rng([seed, int(samples[0])])
    given, damaged, kinds, origin = [], [], [], []
    masks_given = labels.view(bool)  # zeros and ones: no copy
    marked = np.asarray(masks_given.any((2, 3)))
    for case in tqdm(np.unique(case_index), desc="evidence", unit="case", leave=False, disable=not progress):
        members = np.flatnonzero(case_index == case)
        certain = probs[members].astype(np.float32) / np.float32(255)
        given.append(evidence(masks_given[members], certain))
        for _ in range(copies):
            masks, kind = damage(masks_given, members, rng, marked)
            damaged.append(evidence(masks, certain, masks_given[members]))
            kinds.append(kind)
            origin.append(samples[members])
    return FoldEvidence(
        samples,
        np.concatenate(given),
        np.concatenate(damaged),
        np.concatenate(kinds),
        np.concatenate(origin),
        zlib.crc32(probs.data),
    )


def proposals(probs: NDArray[np.uint8], min_fraction: float = 0.1) -> NDArray[np.bool_]:
    """Labels to put in place of wrong ones, bool (n, K, H, W): the prediction without specks and pinholes."""
    return postprocess(probs > 127, min_fraction)
