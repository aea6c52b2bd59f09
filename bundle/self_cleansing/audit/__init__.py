# SPDX-License-Identifier: Apache-2.0
"""Which of the given labels are wrong, how sure, and what instead: judged by networks that never saw them."""

from .label_audit import LabelAudit as LabelAudit
