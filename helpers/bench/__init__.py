"""Measuring what the course claims: one bench for each part, one report for each bench.

    python3 course.py bench              what can be measured
    python3 course.py bench fine-tune    measure it; outputs/bench/fine_tune.json

report      rows, goals and the file that holds them
machine     what it was measured on
shapes      Stable Diffusion 2.1's networks, without its weights
flops       what one pass through each of them costs
ledger      what a fine-tuning job costs, from its settings
lanes       jobs side by side, each in a process of its own
job         one such process: fine-tunes and reads its own clocks and memory
painted     another: paints with finished adapters and asks the judge
fine_tune   the bench of the trainer
ideas       the bench of ideas for the trainer
ideas_objectives  those ideas
ideas_job         one subject and seed, with each of them
ideas_page        what came of it, in docs/performance.md
page        the results in docs/performance.md
costs       what settings cost, for notebooks and benches
experiments           the bench of the experiments
experiments_shapes    published shapes, and what reproduces them
experiments_controls  protocol and controls
experiments_advice    the publication's six recommendations
experiments_page      the results in docs/experiments.md
hosting          the bench of hosting
hosting_stage    a running Triton with avatars on it, its speed and its memory
hosting_avatars  adapters of random weights, and the models around them
hosting_alone    one process without a server, and the shape of Stable Diffusion 2.1
hosting_chaos    processes killed under load, and what callers heard
chaos            the bench of the whole course under kills at random
chaos_course     the course that runs meanwhile
notebooks        the bench of notebooks: how long each takes
notebooks_page   the results in docs/instructor.md
scale            the bench of scale: three sizes, simulated
scale_facts      what is given to it, with sources, and the limits
scale_load       who comes when
scale_queue      the asynchronous endpoint as a load model
scale_avatars    the multi-model endpoint as one
scale_page       the results in docs/production.md

Importing it loads nothing heavy.
"""
