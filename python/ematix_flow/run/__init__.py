"""What is declared, on its way to the core and back: connections, runs and what they tell, the exported registry."""

from ..declare.runnable import run_by
from . import engine

run_by(engine)
