# SPDX-License-Identifier: Apache-2.0
"""Train a segmentation network on imperfect labels, find the wrong ones, repair them, and say why."""

__version__ = "0.16.0"
DISTRIBUTION = "self-cleansing-bundle"  # the name that goes with it, also among the versions of a run
