"""The marks of one mapping in their order, for whoever asks where each leaf went."""

from dataclasses import dataclass, field

from adapters.hl7.message.tokenizer import Address


class Marks(dict[Address, str]):
    """Where leaves went, with each place of those that went to several.

    It takes the place of `Message.mapped` before the mapping, so that a mapping that
    nobody asks about pays nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[Address, str]] = []

    def __setitem__(self, address: Address, path: str) -> None:
        self.log.append((address, path))
        super().__setitem__(address, path)


@dataclass(slots=True)
class Trace:
    """What happened in a mapping: marks, and the resources that were made of them.

    `wrote` has the number of marks that were there, the type and the full URL, of each
    resource when it was added.
    """

    marks: Marks = field(default_factory=Marks)
    wrote: list[tuple[int, str, str]] = field(default_factory=list)

    def add(self, type_: str, full_url: str) -> None:
        """Note that the marks so far are those of this resource and of others before it."""
        self.wrote.append((len(self.marks.log), type_, full_url))
