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
page        the results in docs/performance.md
costs       what settings cost, for notebooks and benches
experiments           the bench of the experiments
experiments_shapes    published shapes, and what reproduces them
experiments_controls  protocol and controls
experiments_advice    the publication's six recommendations
experiments_page      the results in docs/experiments.md

Importing it loads nothing heavy.
"""
