"""Fine-tuning: what a learner may ask for, the training itself, and the adapter it makes.

``config`` and ``bases`` say what is asked for and on what; ``fine_tune`` is the whole of it in one
call; ``service`` is that call behind an endpoint. Only the modules that train import torch.
"""
