"""What an instructor hands out: a name for each seat, and the lines that make the seats."""

from __future__ import annotations

from helpers.cohort.seats import Cohort
from helpers.settings import Settings

_STACKS = """\
# Once, by somebody who may create IAM roles; a stack takes some minutes and costs next to nothing.
for learner in {learners}; do
  aws cloudformation deploy --region {region} --stack-name avatar-$learner \\
    --template-file infrastructure/avatar-course.yaml --capabilities CAPABILITY_NAMED_IAM \\
    --parameter-overrides Learner=$learner Email=you@example.org BudgetScope=learner
done
# Each learner's policy to attach, and the command to hand out:
for learner in {learners}; do
  aws cloudformation describe-stacks --region {region} --stack-name avatar-$learner \\
    --query "Stacks[0].Outputs" --output table
done"""


def handout(cohort: Cohort, seats: int, settings: Settings) -> str:
    """One line a seat, for the backend of the settings. No name of a person is in it."""
    learners = cohort.learners(seats)
    if settings.backend == "aws":
        return _STACKS.format(learners=" ".join(learners), region=settings.region)
    return "\n".join(f"AVATAR_LEARNER={learner} python3 course.py lab" for learner in learners)
