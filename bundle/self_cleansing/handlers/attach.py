# SPDX-License-Identifier: Apache-2.0
"""List a handler that other components share: MONAI wants every list entry to have a `_target_` of its own."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine


class Attach:
    """Attach `handler`, defined elsewhere in the config, or several in order; None (a disabled one) is left out."""

    def __init__(self, handler: Any) -> None:
        self.handlers = [one for one in (handler if isinstance(handler, list) else [handler]) if one is not None]

    def attach(self, engine: Engine) -> None:
        for handler in self.handlers:
            handler.attach(engine)
