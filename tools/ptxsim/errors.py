"""What can be wrong with a program or a launch. A kernel's error names kernel, instruction, block and thread."""


class PtxError(Exception):
    """Base of every error of the interpreter. `lane` is the offending lane of the running batch, until it is located."""

    def __init__(self, detail: str, lane: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.lane = lane

    def locate(self, where: str) -> None:
        """Put `where` (kernel, instruction, block, thread) into the message."""
        self.args = (f"{self.detail}\n  {where}",)


class ParseError(PtxError):
    """The text is not PTX as this parser knows it."""


class LaunchError(PtxError):
    """Wrong number or type of arguments, or a grid or block that cannot be launched."""


class OutOfBounds(PtxError):
    """An access outside every mapping, across the end of one, or outside the block's shared or the lane's local memory."""


class Misaligned(PtxError):
    """An access whose address is not a multiple of its size."""


class ReadOnlyStore(PtxError):
    """A store to a mapping that is not writable."""


class UninitialisedRead(PtxError):
    """A read of a register, or of shared or local memory, that was not written before."""


class BarrierDivergence(PtxError):
    """Threads of a block wait at a barrier that the others can no longer reach."""


class MissingLanes(PtxError):
    """A shuffle, vote or the like whose mask names lanes that do not take part."""


class UnsupportedInstruction(PtxError):
    """An instruction, or a form of one, that the interpreter does not know. Raised when a lane executes it."""


class DivisionByZero(PtxError):
    """An integer division or remainder by zero, of which PTX leaves the result open."""


class RunawayLoop(PtxError):
    """More instructions than the launch's budget."""


class DeviceTrap(PtxError):
    """The kernel executed `trap` or failed an assertion."""


class RaceError(PtxError):
    """Raised by `Report.check` if there were races."""
