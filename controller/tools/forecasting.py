"""forecast_metrics: exponential smoothing with a trend (Holt), its weights chosen by the errors on what was measured.

Intervals widen with the horizon as the variance of that method does (Hyndman and Athanasopoulos, Forecasting, 8.7).
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from controller.tools.tool import Ground, Strict, Tool

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
_WEIGHTS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_TRENDS = (0.0, 0.05, 0.1, 0.2, 0.4)
_Z = 1.96  # 95 of 100 of a normal distribution


class ForecastTakes(Strict):
    """`values`: measured at equal distances, oldest first; `horizon`: steps ahead; `limit`: when is it full?"""

    metric: Annotated[str, Field(min_length=1, max_length=200)]
    values: Annotated[tuple[Number, ...], Field(min_length=4, max_length=10_000)]
    horizon: Annotated[int, Field(ge=1, le=1000)] = 10
    limit: Number | None = None


class Point(Strict):
    step: int
    value: float
    lower: float
    upper: float


class ForecastGives(Strict):
    metric: str
    points: tuple[Point, ...]
    trend_per_step: float
    full_in_steps: int | None
    method: str


def forecast_metrics(given: ForecastTakes, ground: Ground) -> ForecastGives:
    values = given.values[-2000:]
    best = min(((a, b) for a in _WEIGHTS for b in _TRENDS), key=lambda w: _smoothed(values, *w)[2])
    level, trend, error = _smoothed(values, *best)
    points = tuple(_point(level, trend, error, best, step) for step in range(1, given.horizon + 1))
    reached = (p.step for p in points if given.limit is not None and p.value >= given.limit)
    return ForecastGives(
        metric=given.metric,
        points=points,
        trend_per_step=round(trend, 9),
        full_in_steps=next(reached, None),
        method=f"Holt, weights {best[0]:g} and {best[1]:g}, 95% intervals",
    )


def _smoothed(values: tuple[float, ...], weight: float, trend_weight: float) -> tuple[float, float, float]:
    """Level and trend at the end, and the standard error of one step ahead."""
    level, trend = values[0], (values[-1] - values[0]) / (len(values) - 1)
    squares = 0.0
    for value in values[1:]:
        expected = level + trend
        squares += (value - expected) ** 2
        before = level
        level = expected + weight * (value - expected)
        trend += trend_weight * (level - before - trend)
    return level, trend, math.sqrt(squares / (len(values) - 1))


def _point(level: float, trend: float, error: float, weights: tuple[float, float], step: int) -> Point:
    weight, trend_weight = weights
    wider = sum((weight * (1 + j * trend_weight)) ** 2 for j in range(1, step))
    reach = _Z * error * math.sqrt(1 + wider)
    value = level + step * trend
    return Point(step=step, value=round(value, 6), lower=round(value - reach, 6), upper=round(value + reach, 6))


FORECAST_METRICS = Tool(
    "forecast_metrics",
    "A series of measurements, continued with intervals.",
    ForecastTakes,
    ForecastGives,
    forecast_metrics,
)
