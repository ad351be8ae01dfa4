import ArgumentParser
import NVMeSpec

/// `varve id`: Identify Controller.
struct Identify: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "id", abstract: "Show what a controller says of itself (Identify Controller).",
    discussion: "The fields are called as in the specification and in nvme id-ctrl.")

  @OptionGroup var target: DeviceOrMountArgument
  @OptionGroup var output: OutputOptions

  func run() throws {
    try target.withSource { source in
      let fields = Fields(try source.identifyController())
      output.print(fields.json, normal: fields.text)
    }
  }
}

extension Fields {
  /// The fields of Identify Controller, in the order they lie there.
  init(_ identity: IdentifyController) {
    addIdentification(identity)
    addCapabilities(identity)
    addCommandSet(identity)
  }

  private mutating func addIdentification(_ identity: IdentifyController) {
    add(hexadecimal: identity.vendor, "vid")
    add(hexadecimal: identity.subsystemVendor, "ssvid")
    add("sn", identity.serialNumber)
    add("mn", identity.modelNumber)
    add("fr", identity.firmwareRevision)
    add("rab", identity.arbitrationBurst)
    add(hexadecimal: identity.organization, "ieee")
    add(hexadecimal: identity.multipath, "cmic")
    add("mdts", identity.maximumTransfer)
    add(hexadecimal: identity.controllerIdentifier, "cntlid")
    add("ver", identity.version.rawValue, "\(identity.version)")
    add("rtd3e", identity.shutdownLatency, "\(identity.shutdownLatency) us")
    add(hexadecimal: identity.asynchronousEvents, "oaes")
    add(hexadecimal: identity.attributes, "ctratt")
    add("cntrltype", identity.controllerType)
    for (index, delay) in [identity.retryDelays.0, identity.retryDelays.1, identity.retryDelays.2]
      .enumerated()
    {
      add("crdt\(index + 1)", delay)
    }
  }

  private mutating func addCapabilities(_ identity: IdentifyController) {
    add(hexadecimal: identity.adminCommands.rawValue, "oacs")
    add("acl", identity.abortLimit)
    add("aerl", identity.asynchronousEventLimit)
    add(hexadecimal: identity.firmwareUpdates, "frmw")
    add(hexadecimal: identity.logPageAttributes, "lpa")
    add("elpe", identity.errorLogEntries)
    add("wctemp", identity.warningTemperature, temperatureText(identity.warningTemperature))
    add("cctemp", identity.criticalTemperature, temperatureText(identity.criticalTemperature))
    add("tnvmcap", identity.totalCapacity)
    add("unvmcap", identity.unallocatedCapacity)
  }

  private mutating func addCommandSet(_ identity: IdentifyController) {
    add(hexadecimal: identity.submissionEntrySizes, "sqes")
    add(hexadecimal: identity.completionEntrySizes, "cqes")
    add("maxcmd", identity.maximumCommands)
    add("nn", identity.namespaceCount)
    add(hexadecimal: identity.ioCommands.rawValue, "oncs")
    add(hexadecimal: identity.fusedOperations, "fuses")
    add(hexadecimal: identity.formatAttributes, "fna")
    add(hexadecimal: identity.volatileWriteCache, "vwc")
    add("awun", identity.atomicWriteUnitNormal)
    add("awupf", identity.atomicWriteUnitPowerFail)
    add("acwu", identity.atomicCompareAndWriteUnit)
    add(hexadecimal: identity.sgl.rawValue, "sgls")
    add("subnqn", identity.subsystemName)
  }
}

/// A temperature that a controller tells in kelvin, 0 for not told.
func temperatureText(_ kelvin: UInt16) -> String {
  kelvin == 0 ? "-" : "\(Int(kelvin) - 273) °C (\(kelvin) K)"
}
