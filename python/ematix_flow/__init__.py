"""ematix-flow: declare a table and a load strategy; it writes only what changed.

Tables, pipelines and sources cannot be declared from Python yet. This package holds the native module and its version;
the product is the `flow` binary with a `pipelines.toml`.
"""

from ._core import __version__

__all__ = ["__version__"]
