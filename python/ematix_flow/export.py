"""`python -m ematix_flow.export`: the name under which a native `flow` of any version asks for the registry.

python -m ematix_flow.export registry MODULE…          prints the registry
python -m ematix_flow.export resolve NAME MODULE…      calls a pipeline's function; the request comes by stdin
python -m ematix_flow.export call NAME MODULE…         calls a transform; likewise
"""

from .run.export import main

__all__ = ["main"]

if __name__ == "__main__":
    import sys

    raise SystemExit(main(sys.argv[1:]))
