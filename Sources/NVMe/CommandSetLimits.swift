import NVMeSpec

/// Identify Controller of the NVM command set: limits of commands that MDTS does not cover (NVM Command Set
/// 1.0, section 4.1.5.4). All zero where the controller does not report them.
struct CommandSetLimits: Sendable {
  /// VSL: the most one Verify may cover, as WZSL.
  var verify: UInt8 = 0
  /// WZSL: the most one Write Zeroes may cover, `1 << value` pages of CAP.MPSMIN; 0 for not reported.
  var writeZeroes: UInt8 = 0
  /// DMRL: the most ranges of one Dataset Management command; 0 for no limit.
  var deallocateRanges: UInt8 = 0
  /// DMRSL: the most logical blocks of one range; 0 for no limit.
  var deallocateRangeBlocks: UInt32 = 0
  /// DMSL: the most logical blocks of one command; 0 for no limit.
  var deallocateBlocks: UInt64 = 0

  init() {}

  init(decoding data: UnsafeRawBufferPointer) {
    verify = data.value(at: 0)
    writeZeroes = data.value(at: 1)
    deallocateRanges = data.value(at: 3)
    deallocateRangeBlocks = data.value(at: 4)
    deallocateBlocks = data.value(at: 8)
  }
}
