"""What is declared, on its way to the core and back: connections, runs and what they tell, the exported registry."""

from ..declare.features import read_by
from ..declare.runnable import run_by
from . import engine, features

run_by(engine)
read_by(features)
