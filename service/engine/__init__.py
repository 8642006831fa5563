"""Engine: several front-end processes for HTTP and images, and one engine process for networks and queues.

A front end maps memory of its own (shared_memory.py), passes it to the engine when it connects, writes each tensor into
a slot of it and sends a message of fixed size (messages.py, channel.py, client.py). The engine submits the tensor in
place to the model's Batcher, writes the outputs into the same slot and replies (server.py). The parent process keeps
the engine running (supervisor.py).
"""
