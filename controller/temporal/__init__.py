"""Runs carried out as Temporal workflows: the same state machine, the same legs, the same journal."""
