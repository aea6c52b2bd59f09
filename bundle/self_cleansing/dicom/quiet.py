# SPDX-License-Identifier: Apache-2.0
"""Let the DICOM libraries work without talking: their warnings quote the values of headers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_TALKATIVE = ("pydicom", "highdicom")


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the warnings and log records of pydicom and highdicom inside the block.

    pydicom converts a value when it is first read, so everything that touches a data set belongs inside.
    """
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
