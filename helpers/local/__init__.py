"""The local SageMaker: one background process that AWS clients talk to on this machine.

``launch`` starts, finds and stops it; ``service`` is the process. Inside it ``front`` checks and
routes every call: ``control_plane`` and ``data_plane`` are our own SageMaker, ``async_queue`` its
queues, ``hosts`` and its neighbours the containers, ``training_jobs`` and its neighbours the jobs;
everything else is answered by moto, behind ``keeper``. What must outlive the process is in the
``journal`` and the ``kept_…`` modules.
"""
