"""Real servers for the tests: what they need, how they are built once, started and stopped."""
