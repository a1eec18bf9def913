"""Measurements against peers, printed as one table (design.md 10). Nothing here is asserted: the numbers of one run are
compared with each other, because a machine is never equally busy twice."""
