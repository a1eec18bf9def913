"""Golden answers are kept as golden reviews are."""

from tests.controller.review.conftest import golden

__all__ = ["golden"]
