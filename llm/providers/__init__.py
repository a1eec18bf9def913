"""One file per protocol that models are reached by, behind the contract of `llm.providers.provider`."""
