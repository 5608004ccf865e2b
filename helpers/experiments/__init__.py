"""Measuring what fine-tuning does."""
