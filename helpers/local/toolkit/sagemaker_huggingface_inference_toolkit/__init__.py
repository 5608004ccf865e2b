"""The part of the Hugging Face inference toolkit that ``code/inference.py`` meets.

The real package needs an older transformers and numpy than the course; inside its container it
takes this one's place. Left out: the pipelines it builds when there is no ``model_fn``, models
fetched from the Hub, and arrays of pickled objects, which can run code.
"""
