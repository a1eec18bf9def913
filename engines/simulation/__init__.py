"""The simulated platform: every kind and every shape of change, kept in a state file."""

from engines.simulation.engine import SimulationEngine

__all__ = ["SimulationEngine"]
