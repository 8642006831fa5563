"""Batching, priorities, deadlines and the cost model: when and with what an image runs."""
