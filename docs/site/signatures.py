"""Signatures as one calls them."""

from __future__ import annotations

from typing import Any

import griffe


class Signatures(griffe.Extension):
    """Leaves out a parameter that nothing can be given for: it is there so that a wrong call hears what is right."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        for parameter in list(func.parameters):
            if str(parameter.annotation) == "Never":
                del func.parameters[parameter.name]
