# SPDX-License-Identifier: Apache-2.0
"""List a handler that other components share: MONAI wants every list entry to have a `_target_` of its own."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine


class Attach:
    """Attach `handler`, defined elsewhere in the config; None (a disabled component) attaches nothing."""

    def __init__(self, handler: Any) -> None:
        self.handler = handler

    def attach(self, engine: Engine) -> None:
        if self.handler is not None:
            self.handler.attach(engine)
