"""The pocket base: a drawn world, and the recipe that trains a tiny Stable Diffusion on it."""
