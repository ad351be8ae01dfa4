import CMachine
import NVMeSpec
import Testing

@testable import NVMe

/// Linux' `nvme_error_status` and `blk_status_to_errno`, by number: every code that is not here is an I/O
/// error.
private let linux: [UInt16: Int32] = [
  0x000: 0,
  0x001: EOPNOTSUPP, 0x002: EOPNOTSUPP, 0x00b: EOPNOTSUPP, 0x180: EOPNOTSUPP,
  0x021: EREMOTEIO, 0x080: EREMOTEIO, 0x082: EREMOTEIO,
  0x081: ENOSPC,
  0x083: EBADE,
  0x181: EILSEQ, 0x282: EILSEQ, 0x283: EILSEQ, 0x284: EILSEQ,
  0x182: ENODATA, 0x280: ENODATA, 0x281: ENODATA, 0x285: ENODATA, 0x286: ENODATA, 0x287: ENODATA,
  0x1bd: EOVERFLOW, 0x1be: ETOOMANYREFS,
  0x370: ENOLINK,
]

@Suite struct BlockStatusTests {
  @Test func isLinuxsForEveryCode() {
    for code in UInt16(0)...0x7ff {
      let expected = linux[code] ?? EIO
      #expect(BlockStatus(Status(rawValue: code)).errno == expected, "status \(String(code, radix: 16))")
    }
  }

  @Test func ignoresFlags() {
    for code in linux.keys {
      for flags in [UInt16(0x4000), 0x2000, 0x1800, 0x7800] {
        #expect(BlockStatus(Status(rawValue: code | flags)).errno == linux[code])
      }
    }
  }

  @Test func endsWithoutStatusHaveAnErrnoToo() {
    func errno(_ end: CommandEnd) -> Int32 {
      FinishedCommand(context: 0, result: 0, status: .success, end: end).errno
    }
    #expect(errno(.succeeded) == 0)
    #expect(errno(.timedOut) == ETIMEDOUT)
    #expect(errno(.interrupted) == EIO)
    #expect(errno(.removed) == ENODEV)
  }
}
