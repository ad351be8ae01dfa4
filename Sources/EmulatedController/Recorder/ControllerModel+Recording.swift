import NVMeSpec

/// The controller's calls to the recorder.
extension ControllerModel {
  /// Records the fetch of a command; only commands that change a medium or make changes durable become
  /// events.
  mutating func recordFetch(_ command: inout FetchedCommand) {
    guard command.queue != 0 else { return }
    let entry = command.entry
    let kind: RecordedEvent.Kind
    switch IOOpcode(rawValue: entry.opcode) {
    case .write: kind = .write
    case .writeZeroes: kind = .writeZeroes
    case .datasetManagement: kind = .deallocate
    case .flush: kind = .flush
    // A read with FUA makes all earlier writes durable, like a flush.
    case .read, .compare, .verify:
      guard entry.forceUnitAccess else { return }
      kind = .flush
    default: return
    }
    let hasRange = kind == .write || kind == .writeZeroes
    command.event =
      recorder?.begin(
        kind, namespace: entry.namespace, block: hasRange ? entry.startingBlock : 0,
        count: hasRange ? UInt64(entry.blockCount) : 0,
        isDurable: !features.writeCache || (hasRange && entry.forceUnitAccess)) ?? -1
  }

  /// Records the execution of a write; its data is in `pieces`.
  mutating func recordWrite(_ command: FetchedCommand, length: Int) {
    guard command.event >= 0 else { return }
    let data = [UInt8](unsafeUninitializedCapacity: length) { bytes, count in
      pieces.copy(to: UnsafeMutableRawBufferPointer(bytes))
      count = length
    }
    recorder?.execute(command.event, data: data)
  }

  /// Records the execution of a command without data.
  mutating func recordExecution(of command: FetchedCommand) {
    if command.event >= 0 { recorder?.execute(command.event) }
  }

  /// Records the execution of a deallocation, with its ranges.
  mutating func recordDeallocation(_ command: inout FetchedCommand, _ ranges: [DatasetManagementRange]) {
    guard command.event >= 0, !ranges.isEmpty else { return }
    command.moreEvents =
      recorder?.expand(
        command.event, ranges: ranges.map { ($0.startingBlock, UInt64($0.blockCount)) }) ?? 0..<0
    recorder?.execute(command.event)
    for event in command.moreEvents { recorder?.execute(event) }
  }

  /// Records a successful completion.
  mutating func recordCompletion(of command: FetchedCommand) {
    guard command.event >= 0 else { return }
    recorder?.complete(command.event)
    for event in command.moreEvents { recorder?.complete(event) }
  }

  /// Begins a new recording from what the media hold now.
  mutating func restartRecorder() {
    deferred.forgetEvents()
    let records = namespaces.identifiers.compactMap { namespaces[$0] }
    recorder = Recorder(base: records.map { $0.medium.snapshot() }, blockSizes: records.map { 1 << $0.shift })
  }

  /// Cuts the power: media hold what the cut left, and the controller is as after power-on.
  mutating func cutPower(_ cut: PowerCut) {
    guard let recorder else { return }
    countPowerCut()
    let cut = PowerCut(at: cut.moment ?? recorder.now, survivors: cut.survivors, tears: cut.tears)
    resetFunction()
    isRemoved = false
    linkReturn = nil
    barsAreReset = false
    var images: [SparseImage] = []
    for identifier in namespaces.identifiers {
      guard let medium = namespaces[identifier]?.medium else { continue }
      let image = recorder.image(namespace: identifier, after: cut)
      medium.restore(image, from: medium.snapshot())
      images.append(image)
    }
    self.recorder = Recorder(base: images, blockSizes: recorder.blockSizes)
  }
}
