"""Git to reality: data flows from a revision through blueprint, plan and review to a run and its journal."""
