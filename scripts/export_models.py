# SPDX-License-Identifier: Apache-2.0
"""One trained network in the three forms people load: PyTorch weights, TorchScript, ONNX."""

from __future__ import annotations

import io
import logging
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.data import save_net_with_metadata
from torch import Tensor, nn

LARGEST_DIFFERENCE = 1e-4  # between the forms, in logits
DEBUG_NOTES = ".debug_pkl"
SHAPES = ((1, 64, 64), (3, 40, 96))  # batch, height, width of the comparison; both sides divisible by 8


def save_models(network: nn.Module, folder: Path, metadata: Mapping[str, Any], in_channels: int = 1) -> None:
    """Write model.pt, model.ts and model.onnx, and refuse to go on if they do not agree.

    The same network gives the same bytes.

    Args:
        network: maps float (B, in_channels, H, W), H and W divisible by 8, to logits (B, K, H, W); in eval mode.
        folder: is there already.
        metadata: goes into model.ts, as `monai.bundle ckpt_export` does it.

    Raises:
        RuntimeError: if TorchScript or ONNX differ from the network by more than LARGEST_DIFFERENCE.
    """
    images = [torch.rand((batch, in_channels, *size), generator=torch.manual_seed(0)) for batch, *size in SHAPES]
    torch.save({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "model.pt")
    _save_torchscript(network, folder / "model.ts", metadata, images[0])
    _save_onnx(network, folder / "model.onnx", images[0])
    with torch.no_grad():
        expected = [network(image) for image in images]
        scripted = torch.jit.load(folder / "model.ts")
        _compare("TorchScript", [scripted(image) for image in images], expected)
    _compare("ONNX", _run_onnx(folder / "model.onnx", images), expected)


def _compare(form: str, found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        difference = float((one - other).abs().max())
        if not difference <= LARGEST_DIFFERENCE:
            raise RuntimeError(
                f"the {form} model differs from the network by {difference:g}, at most {LARGEST_DIFFERENCE:g} is "
                "allowed; do not share it, and report this with your versions of torch and onnx"
            )


def _save_torchscript(network: nn.Module, path: Path, metadata: Mapping[str, Any], image: Tensor) -> None:
    """Traced, not scripted: a script lists constants in an order that changes from process to process.

    The notes for debuggers are left out: they hold paths of the machine.
    """
    archive = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch would rather have us use torch.export
        save_net_with_metadata(
            torch.jit.trace(network, image), archive, include_config_vals=False, append_timestamp=False,
            meta_values=dict(metadata),
        )  # fmt: skip
    with zipfile.ZipFile(archive) as given, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as kept:
        for entry in given.infolist():
            if not entry.filename.endswith(DEBUG_NOTES):
                kept.writestr(zipfile.ZipInfo(entry.filename), given.read(entry))


def _save_onnx(network: nn.Module, path: Path, image: Tensor) -> None:
    import onnx

    batch, height, width = (torch.export.Dim(name, min=1, max=4096) for name in ("batch", "height", "width"))
    logger = logging.getLogger("onnxscript")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network, (image,), dynamo=True, verbose=False, input_names=["image"], output_names=["pred"],
                dynamic_shapes=({0: batch, 2: 8 * height, 3: 8 * width},), opset_version=18,
            )  # fmt: skip
    finally:
        logger.setLevel(level)
    model = program.model_proto
    _drop_notes(model)  # where in the source each node came from: paths of the machine, nothing a user needs
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _drop_notes(model: Any) -> None:
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def _run_onnx(path: Path, images: list[Tensor]) -> list[Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(session.run(None, {"image": image.numpy()})[0]) for image in images]
