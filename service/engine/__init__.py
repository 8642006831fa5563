"""Several front-end processes and one engine process: HTTP and images there, networks and queues here.

A front end maps memory of its own (memory.py), hands it to the engine when it connects, writes each tensor into a slot
of it and sends a message of fixed size (wire.py, client.py). The engine submits the tensor where it lies to the model's
Batcher, writes the outputs into the same slot and answers (server.py). The parent of all keeps the engine running
(parent.py).
"""
