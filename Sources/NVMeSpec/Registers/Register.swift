/// Byte offsets of the controller properties in BAR0 (Base 2.0, section 3.1.3).
public enum Register {
  /// CAP: Controller Capabilities, 64 bits.
  public static let capabilities = 0x00
  /// VS: Version.
  public static let version = 0x08
  /// INTMS: Interrupt Mask Set (not used with MSI-X).
  public static let interruptMaskSet = 0x0c
  /// INTMC: Interrupt Mask Clear (not used with MSI-X).
  public static let interruptMaskClear = 0x10
  /// CC: Controller Configuration.
  public static let configuration = 0x14
  /// CSTS: Controller Status.
  public static let status = 0x1c
  /// NSSR: NVM Subsystem Reset.
  public static let subsystemReset = 0x20
  /// AQA: Admin Queue Attributes.
  public static let adminQueueAttributes = 0x24
  /// ASQ: Admin Submission Queue base address, 64 bits.
  public static let adminSubmissionQueue = 0x28
  /// ACQ: Admin Completion Queue base address, 64 bits.
  public static let adminCompletionQueue = 0x30
  /// CMBLOC: Controller Memory Buffer Location.
  public static let memoryBufferLocation = 0x38
  /// CMBSZ: Controller Memory Buffer Size.
  public static let memoryBufferSize = 0x3c
  /// BPINFO: Boot Partition Information.
  public static let bootPartitionInformation = 0x40
  /// BPRSEL: Boot Partition Read Select.
  public static let bootPartitionReadSelect = 0x44
  /// BPMBL: Boot Partition Memory Buffer Location, 64 bits.
  public static let bootPartitionMemoryBuffer = 0x48
  /// CMBMSC: Controller Memory Buffer Memory Space Control, 64 bits.
  public static let memoryBufferControl = 0x50
  /// CMBSTS: Controller Memory Buffer Status.
  public static let memoryBufferStatus = 0x58
  /// CMBEBS: Controller Memory Buffer Elasticity Buffer Size.
  public static let memoryBufferElasticity = 0x5c
  /// CMBSWTP: Controller Memory Buffer Sustained Write Throughput.
  public static let memoryBufferThroughput = 0x60
  /// NSSD: NVM Subsystem Shutdown.
  public static let subsystemShutdown = 0x64
  /// CRTO: Controller Ready Timeouts.
  public static let readyTimeouts = 0x68
  /// The first doorbell.
  public static let doorbells = 0x1000

  /// The value that resets the subsystem when stored to NSSR ("NVMe").
  public static let subsystemResetMagic: UInt32 = 0x4e56_4d65
}
