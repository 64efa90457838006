"""Answers from models and checkpoints, made by a worker process; the table that holds them."""

from sftkit.generation.ask import generate
from sftkit.generation.table import Generations

__all__ = ["Generations", "generate"]
