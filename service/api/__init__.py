"""The wire contract: pydantic models of options, answers and rollouts, and nothing else."""
