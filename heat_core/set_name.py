"""The names of the sets of a pack, as text and in parts. It needs neither torch nor numpy."""

from __future__ import annotations

from typing import NamedTuple, Self

ID_SETS = ("train", "val", "test")  # whose labels are of the classes of the pack
PSEUDO_GROUPS = ("pseudo", "pseudoval")  # of destroyed training images, and of held-out ones


class SetName(NamedTuple):
    """The name of an OOD set or of a pseudo-OOD family: its group and its short name.

    As text, in files and as a key of scores, it is whole: `near_cifar100`.

    >>> str(SetName("near", "cifar100"))
    'near_cifar100'
    >>> SetName.parse("far_fashion-mnist")
    SetName(group='far', short_name='fashion-mnist')
    """

    group: str
    short_name: str

    @property
    def is_pseudo(self) -> bool:
        """Whether it is of a pseudo-OOD family: of destroyed images, not of those they were.

        >>> SetName.parse("pseudo_blur").is_pseudo, SetName.parse("train").is_pseudo
        (True, False)
        """
        return self.group in PSEUDO_GROUPS

    def __str__(self) -> str:
        return f"{self.group}_{self.short_name}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Returns the name that a text says; its group is what stands before the first underscore.

        A text without an underscore, such as `test`, is a group with no short name.
        """
        group, _, short_name = text.partition("_")
        return cls(group, short_name)
