# SPDX-License-Identifier: Apache-2.0
"""Which labels does the network disbelieve? Pure functions: losses or areas in, verdicts out.

Two filters with one result type (`Verdicts`): the one of the paper (`published_filter`, Eqs. 2-3, each of its
known weaknesses behind a named guard) and one that compares boundaries (`displacement_filter`, followed by
`believe_with_other_classes` for what has no boundary to compare). `cascade` turns the verdicts on the given and on the
pseudo label into what becomes of each label.
"""

from __future__ import annotations

from .areas import Areas as Areas
from .areas import compare_areas as compare_areas
from .cascade import Provenance as Provenance
from .cascade import cascade as cascade
from .displacement import boundary_displacement as boundary_displacement
from .displacement import displacement_filter as displacement_filter
from .doubts import doubts as doubts
from .doubts import undecided as undecided
from .doubts import unsettled as unsettled
from .mixture import Mixture as Mixture
from .mixture import component_densities as component_densities
from .mixture import fit_mixture as fit_mixture
from .other_classes import believe_with_other_classes as believe_with_other_classes
from .other_classes import marked_before_and_after as marked_before_and_after
from .published import FilterGuards as FilterGuards
from .published import crossing_between_means as crossing_between_means
from .published import published_filter as published_filter
from .valley import ridgeline as ridgeline
from .valley import valley_ratio as valley_ratio
from .verdicts import Fit as Fit
from .verdicts import Judgement as Judgement
from .verdicts import Verdicts as Verdicts
from .verdicts import decide as decide
