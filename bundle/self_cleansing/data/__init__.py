# SPDX-License-Identifier: Apache-2.0
"""From files to cases, splits and labels."""

from .acdc import ACDC_LABEL_NAMES as ACDC_LABEL_NAMES
from .acdc import acdc_cases as acdc_cases
from .cases import case_id as case_id
from .cases import clean_items as clean_items
from .cases import find_cases as find_cases
from .cases import known_cases as known_cases
from .cases import label_names as label_names
from .cases import training_items as training_items
from .checks import check_image as check_image
from .checks import check_same_grid as check_same_grid
from .json_file import read_json as read_json
from .json_file import write_json as write_json
from .labels import class_names as class_names
from .labels import label_to_channels as label_to_channels
from .labels import read_label as read_label
from .msd import msd_cases as msd_cases
from .msd import msd_label_names as msd_label_names
from .read import clear_error as clear_error
from .read import read_file as read_file
from .split import PARTS as PARTS
from .split import SplitOnDemand as SplitOnDemand
from .split import split_cases as split_cases
