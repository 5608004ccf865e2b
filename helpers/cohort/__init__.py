"""A room full of learners: names for all, a look before, a look meanwhile, and the end of the day.

    python3 course.py cohort seats spring --seats 30     who gets which name, and how to begin
    python3 course.py cohort check spring --seats 30     quotas, waits and money, before the day
    python3 course.py cohort board spring                who is where, and what runs
    python3 course.py cohort end spring                  remove all of this cohort, and prove it

A cohort is known by the names of its learners alone, ``spring-01`` to ``spring-30``: no list has
to be kept, and two cohorts in one account cannot be mixed up.

seats     the names
handout   what each learner is given
members   whom of a cohort an account knows, and each one's view of it
progress  signs that learners with a seat leave, without content
check     what the day needs beside what the account has
board     who is where
end       the end of the day

Importing it loads nothing heavy.
"""
