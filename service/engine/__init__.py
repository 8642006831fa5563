"""The engine process: networks and queues in one process, behind several front ends with HTTP and images.

A front end maps memory of its own (shared_memory.py), hands it to the engine when it connects, writes each tensor into
a slot of it and sends a message of fixed size (channel.py, client.py). The engine submits the tensor where it lies to
the model's Batcher, writes the outputs into the same slot and answers (server.py). The parent of all keeps the engine
running (supervisor.py).
"""
