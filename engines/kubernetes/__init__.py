"""Kubernetes behind the engine contract."""
