"""One file per persona: which verbs it answers, its manner, and what it adds."""
