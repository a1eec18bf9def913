"""Judgement of a plan, without I/O: findings, cost, verdict, and the texts people read. What is judged comes from
`controller.plan`; what is done about it is decided in `controller.runtime`."""
