"""The wire contract: pydantic models of answers, model descriptions and rollouts, and the types of options."""
