# SPDX-License-Identifier: Apache-2.0
"""Let torchvision be imported beside a torch it was not built for; install.sh puts this file into the environment.

The registry's torchvision is built against CUDA. Beside a CPU-only torch its compiled operators do not load, and
`import torchvision` ends with "operator torchvision::nms does not exist", although nobody here calls one. So the
missing operators are declared, without any code behind them, right before the first import of torchvision. Where the
compiled operators load, nothing is declared.
"""

import importlib.machinery
import sys
from pathlib import Path

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class DeclareOperators:
    """A finder that finds nothing, but acts when torchvision is looked for."""

    def __init__(self):
        self.library = None  # the declarations last as long as this object

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision" and self.library is None:
            spec = importlib.machinery.PathFinder.find_spec(name)
            if spec is not None and spec.origin is not None:
                self.declare(Path(spec.origin).parent)
        return None

    def declare(self, folder):
        import torch

        for file in folder.glob("_C*.so"):
            try:
                torch.ops.load_library(str(file))
            except OSError:
                self.library = torch.library.Library("torchvision", "FRAGMENT")
                for schema in SCHEMAS:
                    self.library.define(schema)
                return


sys.meta_path.insert(0, DeclareOperators())
