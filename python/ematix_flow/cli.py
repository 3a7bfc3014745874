"""The wheel's `flow`: the same command line as the native binary's, with the Python registries loaded in process."""

from __future__ import annotations

import os
import signal
import sys

from .ground.errors import FlowError


def main() -> int:
    """Runs `flow` with the arguments of this process, and gives its exit code."""
    # Imported here, as everywhere, since it takes longer than all of the package: whoever imports this need not call it.
    from . import _core

    argv = ["flow", *sys.argv[1:]]
    # A Postgres that was installed beside the package is found where the environment is not activated, too.
    if sys.executable and not os.environ.get("EMATIX_FLOW_PYTHON"):
        os.environ["EMATIX_FLOW_PYTHON"] = sys.executable
    # Standard output is the command's: what the user's modules print stands beside it, as with the native binary.
    sys.stdout = sys.stderr
    registry = call = None
    try:
        modules = _core.module_names(argv)
    except FlowError:
        # The command says it as it says everything.
        modules = []
    if modules:
        # Only where Python declares something.
        from .run import export
        from .run.declared import registry_for_flow
        from .run.modules import load_sound, seldom_collected, told

        with seldom_collected():
            pipelines, failed = load_sound(modules)
            registry = "\n".join(registry_for_flow(pipelines, [told(error) for error in failed]))
        call = export.answerer(pipelines)
    # The command line handles Ctrl-C itself; Python's handler would turn exit code 130 into 1.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _core.main(argv, registry, call)


if __name__ == "__main__":
    raise SystemExit(main())
