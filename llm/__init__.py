"""What language models do here: explain. Nothing in this room changes a target, verdict or status (I29, I30)."""
