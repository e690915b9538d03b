"""What stands for "not given" where None is a value that people give."""

from enum import Enum


class Unset(Enum):
    """An enum, so that the compiler knows it and leaves the question out of the program."""

    UNSET = "not given"
