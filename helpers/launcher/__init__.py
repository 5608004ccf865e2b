"""What ``course.py`` does: check the machine, make the environments, run the course.

Standard library only, since it runs before anything is installed.
"""
