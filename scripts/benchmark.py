# SPDX-License-Identifier: Apache-2.0
"""Measure what docs/performance.md states: every comparison side by side in one run, repeated, with its spread.

    python scripts/benchmark.py all
    python scripts/benchmark.py training --shrink 2

Every subcommand prints a table and merges its figures into --output under the name of the device. Nothing else should
run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from benchmark_cleanser import (  # noqa: E402
    cleanser_against_pairwise,
    difference_from_pairwise,
    postprocess_against_scipy_loop,
    sweep_against_forward,
)
from benchmark_inference import infer  # noqa: E402
from benchmark_scaling import ddp_speedup  # noqa: E402
from benchmark_size import grow  # noqa: E402
from benchmark_training import cleansing_share, floor, train  # noqa: E402

from bundle.self_cleansing.data.json_file import read_json, write_json  # noqa: E402
from bundle.self_cleansing.inferers.mixed_precision import cpu_has_bfloat16  # noqa: E402

OUTPUT = ROOT / "docs" / "results" / "performance.json"


def device_name(part: str) -> str:
    """What a part runs on: the GPU, or the processor with its instruction set and the threads PyTorch uses."""
    if torch.cuda.is_available() and part not in ON_PROCESSOR:
        return torch.cuda.get_device_name(0)
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    instructions = torch.backends.cpu.get_cpu_capability() + (" with bfloat16" if cpu_has_bfloat16() else "")
    return f"{name}, {instructions}, {torch.get_num_threads()} threads"


def counted(args: argparse.Namespace) -> dict[str, Any]:
    return {"floor": {str(side): floor(side) for side in (64, 128)}}


def training(args: argparse.Namespace) -> dict[str, Any]:
    plain, compiled = train(args.shrink), train(args.shrink, compile=True) if args.compile else None
    found = {key: plain[key] for key in ("train_vs_bare_loop", "train_vs_monai")}
    return {**found, "training": {str(plain["size"]): {"eager": plain, **({"compiled": compiled} if compiled else {})}}}


def cleansing(args: argparse.Namespace) -> dict[str, Any]:
    found = cleansing_share(args.shrink)
    return {"cleansing_share_of_training": found["cleansing_share_of_training"], "cleansing": found}


def sweep(args: argparse.Namespace) -> dict[str, Any]:
    found = {str(side): sweep_against_forward(side, samples=64, repeats=2) for side in (64, 128, 256)}
    ratio = found["128"]["sweep"]["ratio"] + found["128"]["filter"]["ratio"]
    return {"sweep_vs_forward": ratio, "sweep": found}


def cleanser(args: argparse.Namespace) -> dict[str, Any]:
    found = cleanser_against_pairwise(repeats=15)
    return {
        "cleanser_vs_pairwise": found["pairwise"]["median_s"] / found["cleanse"]["median_s"],
        "cleanser_vs_sum": found["cleanse"]["ratio"],
        "cleanser_max_abs_diff": difference_from_pairwise(),
        "cleanser": found,
        "postprocess": postprocess_against_scipy_loop(repeats=9),
    }


def size(args: argparse.Namespace) -> dict[str, Any]:
    found = grow(128, repeats=args.repeats)
    return {
        "time_per_slice_change_4k_16k": found["time_per_slice_change"],
        "peak_memory_growth_4k_16k": found["peak_memory_growth"],
        "size": found,
    }


def large(args: argparse.Namespace) -> dict[str, Any]:
    return {"16k_slices_of_256": grow(256, sizes=(16384,), repeats=1)["rows"][0]}


def processes(args: argparse.Namespace) -> dict[str, Any]:
    found = ddp_speedup(samples=256, size=128, steps=8)
    return {"ddp_speedup_2_processes": found["speedup"], "processes": found}


def inference(args: argparse.Namespace) -> dict[str, Any]:
    return {"inference": infer()}


PARTS = {
    part.__name__: part for part in (counted, training, cleansing, sweep, cleanser, size, large, processes, inference)
}
ON_PROCESSOR = {"sweep", "cleanser", "size", "large", "processes"}  # with or without a GPU


def table(found: Mapping[str, Any], prefix: str = "") -> list[str]:
    """One Markdown row per number, nested names joined by dots."""
    rows = []
    for name, value in found.items():
        if isinstance(value, Mapping):
            rows += table(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            rows += [row for number, inner in enumerate(value) for row in table(inner, f"{prefix}{name}.{number}.")]
        else:
            rows.append(
                f"| {prefix}{name} | {value:.4g} |" if isinstance(value, float) else f"| {prefix}{name} | {value} |"
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--shrink", type=int, default=1, help="of training and cleansing: 1 for 128x128, 2 for 64x64")
    parser.add_argument("--repeats", type=int, default=3, help="of size")
    parser.add_argument("--compile", action="store_true", help="of training: measure with torch.compile, too")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    for part in PARTS if args.part == "all" else [args.part]:
        name = device_name(part)
        found = json.loads(json.dumps(PARTS[part](args)))
        print(f"\n{part} on {name}\n\n| figure | value |\n|---|---|\n" + "\n".join(table(found)), flush=True)
        everything = read_json(args.output) if args.output.is_file() else {}
        here = everything.setdefault(name, {})
        for key, value in found.items():  # a part measured at one size leaves its figures at another
            here[key] = {**here.get(key, {}), **value} if isinstance(value, dict) else value
        write_json(args.output, everything)


if __name__ == "__main__":
    main()
