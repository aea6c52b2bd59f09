# SPDX-License-Identifier: Apache-2.0
"""SNOMED CT codes for the classes that people segment most, as a DICOM SEG demands them."""

from __future__ import annotations

import re
from dataclasses import dataclass

SCHEME = "SCT"


@dataclass(frozen=True)
class Code:
    """A concept of SNOMED CT."""

    value: str
    meaning: str


ANATOMY = Code("91723000", "Anatomical Structure")
ABNORMAL = Code("49755003", "Morphologically Abnormal Structure")
TISSUE = Code("85756007", "Tissue")

_ANATOMY = {
    Code("10200004", "Liver"): ("liver",),
    Code("78961009", "Spleen"): ("spleen",),
    Code("64033007", "Kidney"): ("kidney", "kidneys", "kidney left", "kidney right", "left kidney", "right kidney"),
    Code("15776009", "Pancreas"): ("pancreas",),
    Code("69695003", "Stomach"): ("stomach",),
    Code("28231008", "Gallbladder"): ("gallbladder",),
    Code("89837001", "Bladder"): ("bladder", "urinary bladder"),
    Code("32849002", "Esophagus"): ("esophagus", "oesophagus"),
    Code("39607008", "Lung"): ("lung", "lungs", "left lung", "right lung", "lung left", "lung right"),
    Code("80891009", "Heart"): ("heart",),
    Code("15825003", "Aorta"): ("aorta",),
    Code("12738006", "Brain"): ("brain",),
    Code("41216001", "Prostate"): ("prostate",),
    Code("53085002", "Right ventricle"): ("rv", "right ventricle"),
    Code("87878005", "Left ventricle"): ("lv", "left ventricle"),
    Code("49848007", "Left Ventricle Myocardium"): ("myo", "myocardium", "left ventricle myocardium"),
}
_ABNORMAL = {
    Code("108369006", "Neoplasm"): ("tumor", "tumour", "neoplasm", "cancer", "gtv"),
    Code("52988006", "Lesion"): ("lesion", "lesions"),
}


def coded_class(name: str) -> tuple[Code, Code]:
    """Return category and type of a class.

    Args:
        name: of the class, in any case, words separated by anything; "liver_tumor" is looked up by its last word.

    Returns:
        An entry of the table, or the generic (Tissue, Tissue).
    """
    words = re.findall(r"[^\W_]+", name.lower())
    for category, table in ((ANATOMY, _ANATOMY), (ABNORMAL, _ABNORMAL)):
        for code, names in table.items():
            if " ".join(words) in names or (category is ABNORMAL and words and words[-1] in names):
                return category, code
    return TISSUE, TISSUE
