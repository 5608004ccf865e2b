"""Measuring what fine-tuning does: sweeps, metrics, controls, figures.

anatomy       the networks of a base, looked at while they work
judges        who judges pictures: protocols, and the pocket's own judge
photo_judges  DINOv2 and CLIP, for photographs
similarity    subject fidelity
metrics       prompt fidelity, PRES, language drift, memorisation, attributes
perceptual    distances between pictures, and DIV
forgetting    the forgetting matrix
intervals     bootstrap over seeds and pictures
controls      what would spoil an experiment, tried on purpose
sweep         an experiment as a value; its cells and their hashes
store         finished cells on disk
work          one cell: training, and pictures on the way
worn          adapters swapped and combined
runner        worker processes that do cells
jobs_runner   training jobs that do cells; cell_files, what each is sent
run           a whole sweep, with progress
measure       from pictures to tidy tables
tidy          those tables, as CSV and parquet
effects       differences between arms, paired, and verdicts on them
charts        curves, grids, the forgetting matrix as figures
plans         variants, prompts and panels that notebooks and bench share
stopping      where to stop: several signs beside one's own
prior_effect  prior preservation on against off, beside DreamBooth's table
effect_chart  differences beside published ones as a figure
ways          every way of teaching two subjects, side by side
"""
