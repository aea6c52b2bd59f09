# SPDX-License-Identifier: Apache-2.0
"""Colours that stay apart for every kind of colour vision: Okabe and Ito, Color Universal Design, 2008."""

from __future__ import annotations

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE, GREY = "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999"

CLASS_COLOURS = (ORANGE, SKY, YELLOW, PURPLE, VERMILION, GREEN)  # seen on gray images
CLEAN, NOISY, THRESHOLD = GREEN, VERMILION, BLACK
PROVENANCE_COLOURS = {"manual": GREEN, "kept": SKY, "renewed": ORANGE, "rejected": GREY}


def class_colour(k: int) -> str:
    """Colour of class k >= 0; they repeat after six."""
    return CLASS_COLOURS[k % len(CLASS_COLOURS)]
