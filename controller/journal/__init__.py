"""What happened, in order, durably: an append-only hash chain with projections, and the right to write to it.

Everything a run needs to be resumed after a kill lies here before the call that it belongs to leaves (I8). What
lies here is JSON without secret values; sealed prior state lies beside the chain so that it can be erased (I27).
"""
