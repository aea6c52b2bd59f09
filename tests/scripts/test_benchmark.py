# SPDX-License-Identifier: Apache-2.0
"""The benchmarks measure what they say; how fast things are is no matter of tests."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from running import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import benchmark  # noqa: E402
import benchmark_size  # noqa: E402
import benchmark_training  # noqa: E402

MB = 1 << 20


PEAKS = """
import json, sys, time
import numpy as np
sys.path.insert(0, "scripts")
import benchmark_size

with benchmark_size.PeakMemory() as before:
    pass
with benchmark_size.PeakMemory() as mapped:
    assert np.memmap(sys.argv[1], mode="c").sum() == 0
with benchmark_size.PeakMemory() as allocated:
    block = np.ones(64 << 20, dtype=np.uint8)
    time.sleep(0.1)
    del block
print(json.dumps([before.peak, mapped.peak, allocated.peak]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RssAnon is Linux's")
def test_peak_memory_counts_what_is_allocated_and_not_what_is_mapped(tmp_path):
    """In a process of its own: in one that has run other tests the allocator may give memory back in between."""
    path = tmp_path / "mapped.bin"
    path.write_bytes(bytes(64 * MB))
    command = [sys.executable, "-c", PEAKS, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    before, mapped, allocated = json.loads(result.stdout.splitlines()[-1])
    assert mapped - before < 16 * MB
    assert 60 * MB < allocated - before < 90 * MB


def test_the_size_benchmark_trains_and_cleanses_every_slice(tmp_path):
    row = benchmark_size.one_size(64, 64, str(tmp_path), repeats=1)
    assert row["bank_on_disk_bytes"] == 64 * 64 * 64 * (4 + 3)
    assert row["label_bank_bytes"] >= 64 * 3 * 64 * 64 // 8
    assert row["ms_per_slice"] == row["ms_per_slice_epoch"] + row["ms_per_slice_update"] > 0
    assert len(list((tmp_path / "cache").glob("*/bank.json"))) == 1


@pytest.mark.slow
def test_training_is_timed_beside_its_rivals():
    found = benchmark_training.train(shrink=2, patients=5, repeats=1)
    timed = found["seconds_per_epoch"]
    assert set(timed) == {"bundle", "bare loop", "usual MONAI, 0 workers", "usual MONAI, 2 workers"}
    assert found["size"] == 64 and found["samples_per_epoch"] % 16 == 0 < found["samples_per_epoch"]
    assert found["train_vs_bare_loop"] == timed["bare loop"]["median"] / timed["bundle"]["median"]
    usual = min(timed["usual MONAI, 0 workers"]["median"], timed["usual MONAI, 2 workers"]["median"])
    assert found["train_vs_monai"] == usual / timed["bundle"]["median"]


def test_the_arithmetic_is_counted_as_by_hand():
    """Forward: two operations per weight and output pixel of the convolutions; backward: twice that, except that the
    first layer has no gradient of its input."""
    found = benchmark_training.floor(size=32, repeats=1)
    side = {"full": 32**2, "half": 16**2, "quarter": 8**2, "eighth": 4**2}
    stem = 9 * 16 * side["full"]
    down = sum(4 * c * 2 * c * side[s] for c, s in ((16, "half"), (32, "quarter"), (64, "eighth")))
    encoder = sum(d * 9 * c * c * side[s] for d, c, s in ((1, 32, "half"), (2, 64, "quarter"), (3, 128, "eighth")))
    # A transposed convolution spends its weights once per INPUT pixel.
    up = sum(4 * i * o * side[s] for i, o, s in ((128, 64, "eighth"), (128, 32, "quarter"), (64, 16, "half")))
    decoder = sum(d * 9 * c * c * side[s] for d, c, s in ((3, 128, "quarter"), (2, 64, "half"), (1, 32, "full")))
    head = (9 * 32 * 32 + 32 * 3) * side["full"]
    forward = 2 * (stem + down + encoder + up + decoder + head)
    assert found["gflop_per_sample"] * 1e9 == 3 * forward - 2 * stem
    assert found["network_gflop_per_s"] > 0 and found["matrix_product_gflop_per_s"] > 0


@pytest.mark.slow
def test_the_share_of_cleansing_counts_one_update_in_five_epochs():
    found = benchmark_training.cleansing_share(shrink=2, patients=5, epochs=2)
    epoch, update = found["seconds_per_epoch"]["median"], found["seconds_per_update"]["median"]
    assert update > 0 and found["cleansing_share_of_training"] == update / (5 * epoch + update)


def test_parts_are_merged_under_the_name_of_the_device(tmp_path, monkeypatch, capsys):
    output = tmp_path / "performance.json"
    for part in ("inference", "size"):
        monkeypatch.setitem(benchmark.PARTS, part, lambda args, part=part: {part: {"rows": [{"seconds": 0.25}]}})
        monkeypatch.setattr(sys, "argv", ["benchmark.py", part, "--output", str(output)])
        benchmark.main()
    (found,) = json.loads(output.read_text()).values()
    assert found == {part: {"rows": [{"seconds": 0.25}]} for part in ("inference", "size")}
    assert "| size.rows.0.seconds | 0.25 |" in capsys.readouterr().out
    for size in ("64", "128"):
        monkeypatch.setitem(benchmark.PARTS, "training", lambda args, size=size: {"training": {size: {"ratio": 0.5}}})
        monkeypatch.setattr(sys, "argv", ["benchmark.py", "training", "--output", str(output)])
        benchmark.main()
    (found,) = json.loads(output.read_text()).values()
    assert found["training"] == {"64": {"ratio": 0.5}, "128": {"ratio": 0.5}} and "inference" in found
