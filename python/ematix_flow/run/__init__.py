"""What is declared, on its way to the core and back: connections, runs and what they tell, the exported registry."""

from ..declare.features import read_by
from ..declare.runnable import run_by
from . import engine, features
from .connections import written_by
from .write import write_frame

run_by(engine)
read_by(features)
written_by(write_frame)
