# SPDX-License-Identifier: Apache-2.0
"""Write a small data set of beating-heart phantoms in the layout of the ACDC challenge.

    python scripts/make_phantom.py --output_dir data/phantom

The same seed gives the same files. It takes about half a minute on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tqdm import tqdm  # noqa: E402

from bundle.self_cleansing.data.phantom import patient_numbers, write_patients  # noqa: E402
from bundle.self_cleansing.data.whole_folder import whole_folder  # noqa: E402


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", required=True, help="folder to make; it must not exist or be empty")
    parser.add_argument(
        "--patients",
        type=int,
        default=32,
        help="number of patients (default 32: numbers 001-016 and 021-036, of which the standard split puts "
        "22 into training, 4 into validation and 6 into test)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of anatomy and noise (default 0)")
    options = parser.parse_args(arguments)

    try:
        numbers = patient_numbers(options.patients)
        with whole_folder(options.output_dir) as folder:
            write_patients(folder, tqdm(numbers, unit="patient", desc="phantom"), options.seed)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    print(f"{len(numbers)} patients in {options.output_dir}")


if __name__ == "__main__":
    main()
