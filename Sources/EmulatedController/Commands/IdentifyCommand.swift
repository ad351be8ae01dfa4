import NVMeSpec

/// Identify (Base 2.0, section 5.17).
extension ControllerModel {
  mutating func identify(_ command: FetchedCommand) -> Outcome {
    let entry = command.entry
    let page = UnsafeMutableRawBufferPointer(rebasing: scratch[..<IdentifyStructure.size])
    switch entry.identifyStructure {
    case .controller:
      identity.encode(into: page)
    case .namespace, .allocatedNamespace:
      guard let structure = namespaceIdentity(entry) else { return .refused(.invalidNamespaceOrFormat) }
      structure.encode(into: page)
    case .activeNamespaces, .allocatedNamespaces:
      guard entry.namespace < SubmissionEntry.allNamespaces - 1 else {
        return .refused(.invalidNamespaceOrFormat)
      }
      NamespaceList(namespaces.identifiers.filter { $0 > entry.namespace }).encode(into: page)
    case .namespaceDescriptors:
      guard namespaces[entry.namespace] != nil else { return .refused(.invalidNamespaceOrFormat) }
      NamespaceDescriptor.encodeList(descriptors(entry.namespace), into: page)
    case .controllers:
      encodeControllerList(above: UInt16(truncatingIfNeeded: entry.cdw10 >> 16), into: page)
    default:
      return .refused(.invalidField)
    }
    return send(UnsafeRawBufferPointer(page), for: command)
  }

  private var identity: IdentifyController {
    var identity = IdentifyController()
    identity.vendor = Identifiers.vendor
    identity.subsystemVendor = Identifiers.vendor
    identity.organization = Identifiers.organization
    identity.serialNumber = configuration.serialNumber
    identity.modelNumber = configuration.modelNumber
    identity.firmwareRevision = Self.firmwareRevision
    identity.maximumTransfer = configuration.maximumTransfer
    identity.version = RegisterFile.version
    identity.controllerType = 1
    // Host identifiers of 16 bytes.
    identity.attributes = 1 << 0
    identity.retryDelays = configuration.retryDelays
    // Notices of changed namespaces and of firmware activation.
    identity.asynchronousEvents = 1 << 8 | 1 << 9
    identity.adminCommands = configuration.shadowDoorbells ? [.format, .doorbellBuffer] : [.format]
    identity.abortLimit = 3
    identity.asynchronousEventLimit = UInt8(AsynchronousEvents.limit - 1)
    // One slot, read-only.
    identity.firmwareUpdates = 1 << 1 | 1
    // Command effects, and an offset in Get Log Page.
    identity.logPageAttributes = 1 << 1 | 1 << 2
    identity.errorLogEntries = UInt8(ErrorLog.limit - 1)
    identity.warningTemperature = FeatureTable.warningTemperature
    identity.preferredHostMemory = UInt32(truncatingIfNeeded: configuration.hostMemory / 4096)
    identity.minimumHostMemory = UInt32(truncatingIfNeeded: configuration.hostMemory / 8192)
    if configuration.hostMemory > 0 { identity.hostMemoryDescriptorLimit = Self.hostMemoryDescriptors }
    identity.criticalTemperature = 353
    // A second of pause for new firmware.
    identity.firmwareActivationTime = 10
    identity.totalCapacity = namespaces.identifiers.reduce(0) {
      $0 + UInt128(namespaces[$1]?.medium.size ?? 0)
    }
    identity.submissionEntrySizes = SubmissionEntry.sizeExponent << 4 | SubmissionEntry.sizeExponent
    identity.completionEntrySizes = CompletionEntry.sizeExponent << 4 | CompletionEntry.sizeExponent
    identity.namespaceCount = UInt32(namespaces.count)
    identity.ioCommands = configuration.ioCommands
    // Format and secure erase apply to a single namespace, and cryptographic erase is offered.
    identity.formatAttributes = 1 << 2
    // A volatile write cache, and Flush with NSID FFFFFFFFh.
    identity.volatileWriteCache = (configuration.volatileWriteCache ? 1 : 0) | 3 << 1
    // SGLs of any alignment, whose length may exceed the data's.
    identity.sgl = SGLSupport(rawValue: configuration.sgl ? 1 | 1 << 18 : 0)
    identity.subsystemName = "nqn.2014-08.org.nvmexpress:uuid:\(Identifiers.text(uuid(0)))"
    return identity
  }

  static var firmwareRevision: String { "1.0" }

  /// Identify Namespace; nil where there is no such namespace. NSID FFFFFFFFh (capabilities common to all) is
  /// refused, as there is no Namespace Management.
  private func namespaceIdentity(_ entry: SubmissionEntry) -> IdentifyNamespace? {
    guard let namespace = namespaces[entry.namespace] else { return nil }
    var identity = IdentifyNamespace()
    identity.size = namespace.blocks
    identity.capacity = namespace.blocks
    identity.utilization = namespace.blocks
    identity.formats = namespace.formats
    let index = namespace.formats.firstIndex { Int($0.exponent) == namespace.shift } ?? 0
    identity.formattedSize = UInt8(truncatingIfNeeded: index)
    // Deallocated blocks read as zeros, and Write Zeroes may deallocate.
    if let protection = namespace.protection {
      // Metadata in a separate buffer; every protection type, in the last bytes of the metadata.
      identity.metadataCapabilities = 1 << 1
      identity.protectionCapabilities = 1 << 4 | 7
      identity.protectionSettings = protection.type
    }
    identity.attributes = namespace.isWriteProtected ? 1 : 0
    identity.deallocateFeatures = 1 | 1 << 3
    // The optimal write and deallocate sizes are reported: 4 KiB.
    identity.features = 1 << 4
    let perPage = UInt16(truncatingIfNeeded: max(4096 >> namespace.shift, 1) - 1)
    identity.preferredWriteGranularity = perPage
    identity.preferredWriteAlignment = perPage
    identity.optimalWriteSize = perPage
    identity.preferredDeallocateGranularity = perPage
    identity.preferredDeallocateAlignment = perPage
    identity.byteCapacity = UInt128(namespace.medium.size)
    identity.nguid = Identifiers.nguid(uuid(entry.namespace))
    return identity
  }

  private func descriptors(_ namespace: UInt32) -> [NamespaceDescriptor] {
    [
      NamespaceDescriptor(type: NamespaceDescriptor.nguidType, value: Identifiers.nguid(uuid(namespace))),
      NamespaceDescriptor(type: NamespaceDescriptor.uuidType, value: uuid(namespace)),
    ]
  }

  /// An identifier of a namespace, or of the subsystem for 0, that follows from the serial number.
  private func uuid(_ namespace: UInt32) -> [UInt8] {
    Identifiers.uuid("\(configuration.serialNumber)/\(namespace)")
  }

  private func encodeControllerList(above identifier: UInt16, into page: UnsafeMutableRawBufferPointer) {
    page.initializeMemory(as: UInt8.self, repeating: 0)
    // The count, then this subsystem's only controller, 0.
    if identifier == 0 { page.storeBytes(of: 1, toByteOffset: 0, as: UInt16.self) }
  }
}

extension NamespaceRecord {
  /// The LBA formats that Format NVM can choose.
  var formats: [LBAFormat] {
    canReformat
      ? [LBAFormat(exponent: 9), LBAFormat(exponent: 12)]
      : [
        LBAFormat(
          exponent: UInt8(truncatingIfNeeded: shift), metadata: UInt16(truncatingIfNeeded: metadataSize))
      ]
  }
}
