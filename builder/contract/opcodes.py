"""The opcodes of a stranger's pickle, read before it is loaded: how much it may ask for.

They are read by pickletools, which makes no object of them.
"""

import pickletools
from collections.abc import Collection
from typing import IO

from builder.contract.errors import CheckError

MAX_OPCODES = 1_000_000  # each may make an object of some 60 bytes
_REFUSED = frozenset(
    {
        *("EXT1", "EXT2", "EXT4"),  # objects of copyreg's registry: find_class may not be asked
        *("PERSID", "NEXT_BUFFER"),  # objects from outside of the file
        "LONG4",  # integers too long to print in a message
    }
)
_PUT = ("PUT", "BINPUT", "LONG_BINPUT")


def check_opcodes(file: IO[bytes], *, refused: Collection[str] = ()) -> None:
    """CheckError unless the pickle that begins here keeps within bounds; the file is at its end.

    `refused` are further opcodes that it may not have. Memo numbers that would fill the memory are
    refused, too. ValueError and more where it is damaged.
    """
    memos = 0
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name in _REFUSED or opcode.name in refused:
            raise CheckError(
                f"The pickle has the opcode {opcode.name}, which no published one has."
            )
        if count > MAX_OPCODES:
            raise CheckError(f"The pickle has more than {MAX_OPCODES:,} opcodes.")
        if opcode.name in _PUT:
            memos += 1
            if not isinstance(argument, int) or argument > 2 * memos:
                raise CheckError("The pickle numbers its objects far too high: refused.")
