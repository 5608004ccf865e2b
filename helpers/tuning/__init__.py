"""Fine-tuning: what a learner may ask for, the training itself, and the adapter it makes.

config      what may be asked for; presets, the two recipes; checks, prompts, what is refused
fine_tune   the whole of it in one call: an adapter, or a whole model (tuned_model)
session     from a base on disk to trained networks
loop        the training loop, a generator of steps: read this one first
diffusion   the objective; batches, subjects, what a step is made of; heldout, when to stop
networks    a base in memory; lora, words, trainable, what is put on it; shelf, kept between jobs
priors      class images and their bank; painting, pictures from networks in memory
checkpoint  going on after a kill; durable, files that are whole or absent
precision   what the machine can do; what to change when memory runs out
adapter     the result on disk; mix, adapters weakened, added, shortened and compared
service     the call behind an endpoint; package, its container; progress, its log
train_job   the same as a training job; jumpstart, its data format and hyperparameters
memory      what of it a GPU must hold

Only the modules that train import torch.
"""
