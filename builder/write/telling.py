"""How much of a shard is done, for a progress bar → images.

Where a shard is sent, an image counts half when it is made, and whole when it has arrived: so the
bar is at its end when all is there, and its rate is that of the slower of the two.
"""

from threading import Event

from builder.progress import Advance


class ShardProgress:
    """The images of one shard that were told to `advance`."""

    def __init__(self, images: int, advance: Advance, stopped: Event, *, sends: bool) -> None:
        """None is told; `sends` where the shard is sent once it is made."""
        self._images, self._advance, self._stopped = images, advance, stopped
        self._share = 2 if sends else 1
        self._made = self._told = self._sent = 0
        self._size = 0  # bytes; 0 before it is sent

    def made(self, images: int) -> None:
        """So many more are made."""
        self._made += images
        self._tell(self._made // self._share)

    def begin(self, size: int) -> None:
        """The shard, of `size` bytes, is being sent from now on."""
        self._size = max(size, 1)

    def sent(self, count: int) -> None:
        """So many more bytes have arrived; InterruptedError where the build was stopped."""
        if self._stopped.is_set():
            raise InterruptedError("the build was stopped")
        if not self._size:  # it is asked for, and not sent yet
            self._advance(0)
            return
        self._sent += count
        half = self._images // self._share
        self._tell(half + (self._images - half) * min(self._sent, self._size) // self._size)

    def end(self) -> None:
        """All is done."""
        if self._told < self._images:
            self._tell(self._images)

    def _tell(self, images: int) -> None:
        self._advance(max(images - self._told, 0))
        self._told = max(images, self._told)
