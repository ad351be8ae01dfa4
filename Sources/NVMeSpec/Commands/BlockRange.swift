/// The command words of Read, Write, Compare, Verify and Write Zeroes (NVM Command Set 1.0, section 3.2).
extension SubmissionEntry {
  /// A command on `count` logical blocks (1...65,536) from `block`; the caller sets the data pointers.
  @inlinable
  public init(_ opcode: IOOpcode, namespace: UInt32, block: UInt64, count: UInt32) {
    self.init(opcode, namespace: namespace)
    startingBlock = block
    cdw12 = UInt32(UInt16(truncatingIfNeeded: count &- 1))
  }

  /// SLBA: the first logical block, in CDW10 and CDW11.
  @inlinable
  public var startingBlock: UInt64 {
    get { cdw10And11 }
    set { cdw10And11 = newValue }
  }

  /// NLB as a count: the number of logical blocks, 1...65,536 (the field itself is 0's based).
  @inlinable
  public var blockCount: UInt32 {
    get { cdw12.field(0, 16) + 1 }
    set { cdw12.setField(0, 16, newValue &- 1) }
  }

  /// DEAC: a Write Zeroes may deallocate the blocks.
  @inlinable
  public var deallocate: Bool {
    get { cdw12.flag(25) }
    set { cdw12.setFlag(25, newValue) }
  }

  /// PRINFO: the protection information's action and checks.
  @inlinable
  public var protectionInformation: ProtectionChecks {
    get { ProtectionChecks(rawValue: UInt8(truncatingIfNeeded: cdw12.field(26, 4))) }
    set { cdw12.setField(26, 4, UInt32(newValue.rawValue)) }
  }

  /// ILBRT or EILBRT: the reference tag of the first block.
  public var referenceTag: UInt32 {
    get { cdw14 }
    set { cdw14 = newValue }
  }

  /// FUA: the data is on the medium when the command completes.
  @inlinable
  public var forceUnitAccess: Bool {
    get { cdw12.flag(30) }
    set { cdw12.setFlag(30, newValue) }
  }

  /// LR (limited retry): the controller may give up sooner on errors.
  @inlinable
  public var limitedRetry: Bool {
    get { cdw12.flag(31) }
    set { cdw12.setFlag(31, newValue) }
  }
}
