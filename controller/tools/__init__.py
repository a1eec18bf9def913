"""PURE: tools that answer from rules, prices, templates and arithmetic; none needs a model."""
