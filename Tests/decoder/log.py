"""The chain of log writes behind a checkpoint (SPEC, "Log header"; SPEC-Replay, "The chain", "Torn log writes")."""

from checksum import BLOCK, crc32c, crc32c_without
from layout import CHECKSUM_OFFSET, LOG_HEADER, LOG_RUNS, OWNER_RUN, require

FOREGROUND, LEAVES, CLEAN = 1, 1, 1


class LogWrite:
    """A header and where its blocks lie."""

    def __init__(self, block):
        self.__dict__.update(vars(LOG_HEADER.read(block)))
        self._block = block
        self._checksums_offset = LOG_RUNS + OWNER_RUN.size * self.run_count
        self._records_offset = self._checksums_offset + 4 * self.block_count

    def is_valid(self, nonce, address):
        """A header is valid for the place it was read from."""
        if self.magic != b"VARVELG1" or self.nonce != nonce or self.address != address:
            return False
        return (
            self.checksum == crc32c_without(self._block, CHECKSUM_OFFSET, nonce)
            and 1 <= self.head <= 3
            and self._records_offset + self.inline_record_bytes <= BLOCK
            and self.record_blocks <= self.block_count
            and self.inline_record_bytes
            <= self.record_bytes
            <= self.inline_record_bytes + BLOCK * self.record_blocks
            and all(1 <= run.kind <= 5 and run.count <= self.block_count and run.index < 2**63 for run in self.runs())
            and self.record_blocks + sum(run.count for run in self.runs()) == self.block_count
        )

    def runs(self):
        for offset in range(LOG_RUNS, self._checksums_offset, OWNER_RUN.size):
            run = OWNER_RUN.read(self._block, offset)
            run.number = run.high << 32 | run.low
            yield run

    def blocks(self):
        """Address and checksum of each block behind the header."""
        for index in range(self.block_count):
            offset = self._checksums_offset + 4 * index
            yield self.address + 1 + index, int.from_bytes(self._block[offset : offset + 4], "little")

    def inline_records(self):
        return self._block[self._records_offset : self._records_offset + self.inline_record_bytes]


class Log:
    """The log writes that a mount applies, in order: `writes`."""

    def __init__(self, image):
        self._image = image
        checkpoint = image.checkpoint
        self._epoch = checkpoint.epoch
        self._block, self._sequence = checkpoint.log_block, checkpoint.log_sequence
        self._previous, self._next_segment = checkpoint.log_previous, checkpoint.log_next
        self.writes = []
        self._follow()
        if not checkpoint.flags & CLEAN:
            self._look_for_more()
        self._cut_torn()

    def _header(self, address):
        """A block as a header, or None."""
        write = LogWrite(self._image.device.read(address))
        return write if write.is_valid(self._image.nonce, address) else None

    def _matches(self, blocks):
        """The blocks match their checksums."""
        device, nonce = self._image.device, self._image.nonce
        return all(crc32c(device.read(address), nonce) == checksum for address, checksum in blocks)

    def _follow(self):
        while (write := self._header(self._block)) and self._is_next(write):
            if not self._matches(list(write.blocks())[: write.record_blocks]):
                self._next_segment = write.next_segment
                break
            self.writes.append(write)
            self._sequence += 1
            self._previous, self._next_segment = write.checksum, write.next_segment
            self._block += 1 + write.block_count
            end = self._image.geometry.segment_end(write.address)
            if write.flags & LEAVES or self._block == end:
                self._block = self._image.geometry.segment_start(write.next_segment)

    def _is_next(self, write):
        """Whether a header continues the chain, if its record blocks match."""
        geometry = self._image.geometry
        return (
            write.head == FOREGROUND
            and write.sequence == self._sequence
            and write.epoch == self._epoch
            and write.previous == self._previous
            and write.next_segment < geometry.segment_count
            and write.address + write.block_count < geometry.segment_end(write.address)
        )

    def _look_for_more(self):
        """Is it an end or damage? Damage where a later log write knows the missing one to be durable."""
        geometry = self._image.geometry
        following, latest, leads_on = self._next_segment, self._sequence, True
        start, end = self._block + 1, geometry.segment_end(self._block)
        while True:
            for write in filter(self._is_later, map(self._header, range(start, end))):
                require(write.flushed_through < self._sequence, f"log write {self._sequence} is missing")
                if write.sequence > latest:
                    latest, following, leads_on = write.sequence, write.next_segment, True
            if not leads_on or following >= geometry.segment_count:
                return
            start = geometry.segment_start(following)
            if geometry.segment_end(start) == end:
                return
            end, leads_on = geometry.segment_end(start), False

    def _is_later(self, write):
        """Whether a header belongs to the chain, after the missing log write."""
        return (
            write is not None
            and write.head == FOREGROUND
            and write.epoch == self._epoch
            and write.sequence > self._sequence
        )

    def _cut_torn(self):
        """The first log write that was not known to be durable and lacks a block ends the log."""
        durable = self.writes[-1].flushed_through if self.writes else 0
        for index, write in enumerate(self.writes):
            if write.sequence > durable and not self._matches(write.blocks()):
                del self.writes[index:]
                return

    def records(self, write):
        """All record bytes of a log write."""
        read = self._image.device.read
        blocks = [read(address) for address, _ in list(write.blocks())[: write.record_blocks]]
        return b"".join([write.inline_records(), *blocks])[: write.record_bytes]

    def data_blocks(self, write):
        """For each block of a data run: the run, the block's index in the file, its address and its checksum."""
        blocks = list(write.blocks())[write.record_blocks :]
        for run in write.runs():
            mine, blocks = blocks[: run.count], blocks[run.count :]
            if run.kind == 1:
                for index, (address, checksum) in enumerate(mine, run.index):
                    yield run, index, address, checksum
