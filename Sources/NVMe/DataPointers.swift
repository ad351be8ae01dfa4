import NVMeSpec
import PCI

/// How I/O commands of more than two frames describe their data. One or two frames stand in the command
/// itself, as PRP1 and PRP2; admin commands always use PRPs.
public enum DataPointers: Sendable {
  /// One SGL descriptor where the frames follow each other and the controller takes SGLs, a PRP list
  /// otherwise: the descriptor costs the same for any length, but a segment of them costs twice the memory of
  /// a PRP list.
  case automatic
  /// PRP lists.
  case prp
  /// SGLs, a segment of descriptors where the frames do not follow each other; PRP lists where the controller
  /// takes no SGLs.
  case sgl
}

extension QueuePair {
  /// Fills in the data pointer of a command of more than two frames.
  @usableFromInline @inline(never)
  mutating func pointMany(
    _ command: inout SubmissionEntry, of tracker: UnsafeMutablePointer<Tracker>,
    at frames: UnsafePointer<UInt32>, count: Int, base: UInt64
  ) {
    let offset = listOffset(of: tracker)
    if dataPointers != .prp {
      let first = PRPList.address(frames[0], base)
      if run(of: frames, count) == count {
        counts.sglBlocks &+= 1
        return command.setSGL(address: first, length: length(count))
      }
      if dataPointers == .sgl {
        counts.sglSegments &+= 1
        let bytes = writeSegment(frames, count, base: base, to: UnsafeMutableRawPointer(lists + offset))
        return command.setSGL(
          SGLDescriptor(
            type: .lastSegment, address: listAddress(offset), length: UInt32(truncatingIfNeeded: bytes)))
      }
    }
    counts.prpLists &+= 1
    command.prp1 = PRPList.address(frames[0], base)
    command.prp2 = listAddress(offset)
    PRPList.write(
      frames: frames + 1, count: count &- 1, base: base, list: lists + offset, listAddress: command.prp2)
  }

  /// How many frames follow the first one in memory, itself included.
  private func run(of frames: UnsafePointer<UInt32>, _ count: Int) -> Int {
    var length = 1
    while length < count, frames[length] == frames[length &- 1] &+ 1 { length &+= 1 }
    return length
  }

  private func length(_ frames: Int) -> UInt32 { UInt32(truncatingIfNeeded: frames &* DMAArena.frameSize) }

  /// Writes one descriptor for each run of frames. A command's list pages follow each other in memory, so
  /// that all descriptors are one segment, the last.
  /// - Returns: the bytes written.
  private func writeSegment(
    _ frames: UnsafePointer<UInt32>, _ count: Int, base: UInt64, to segment: UnsafeMutableRawPointer
  ) -> Int {
    var done = 0
    var bytes = 0
    while done < count {
      let run = run(of: frames + done, count &- done)
      segment.storeBytes(
        of: SGLDescriptor.dataBlock(PRPList.address(frames[done], base), length(run)), toByteOffset: bytes,
        as: SGLDescriptor.self)
      bytes &+= SGLDescriptor.size
      done &+= run
    }
    return bytes
  }

  /// List pages of a command of `frames` frames, whichever form it uses.
  static func listPages(frames: Int, _ dataPointers: DataPointers) -> Int {
    let segment = (frames * SGLDescriptor.size + DMAArena.frameSize - 1) / DMAArena.frameSize
    return max(PRPList.pages(forFrames: frames), dataPointers == .sgl ? segment : 0, 1)
  }
}
