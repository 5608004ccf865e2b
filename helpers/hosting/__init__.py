"""Pictures from text: requests, the shared painter, avatar archives and the client.

``request`` checks what a caller may ask for, ``generate`` paints it with an adapter swapped in,
``picture`` carries the answer as a lossless PNG with its provenance, ``base`` is what the shared
Triton model runs. ``publisher`` turns an adapter into an archive of a multi-model endpoint,
``client`` speaks to that endpoint and ``repository`` builds what the serving image holds.
"""
