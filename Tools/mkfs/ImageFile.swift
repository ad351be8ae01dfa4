import Device
import Glibc

/// The image file behind the device's name, made or enlarged before the filesystem, and taken back when that fails.
struct ImageFile {
  private let path: String
  /// Whether there is a file that may have to be taken back.
  private let isOurs: Bool
  /// The size to go back to; nil for a file that was not there.
  private let formerSize: off_t?

  /// Makes the file that `device` names, when a size is given.
  /// - Throws: `Refusal` when a size is given to what is no file, or the file cannot be made.
  init(device: String, size: UInt64?, dryRun: Bool) throws {
    guard let size else {
      (path, isOurs, formerSize) = ("", false, nil)
      return
    }
    guard case .image(let name, _, _) = try DeviceName(device) else {
      throw Refusal("\(device) has a size of its own; leave SIZE out")
    }
    path = name
    var status = stat()
    let exists = stat(path, &status) == 0
    if exists, status.st_mode & S_IFMT != S_IFREG {
      throw Refusal("\(path) is not a regular file; name an image file")
    }
    formerSize = exists ? status.st_size : nil
    guard let wanted = off_t(exactly: size), wanted > 0 else {
      throw Refusal("a size of \(size) bytes is not possible")
    }
    if dryRun, !exists { throw Refusal("\(path) does not exist; -n makes none") }
    isOurs = !dryRun
    guard !dryRun else { return }
    // What is deleted in the filesystem stays in the file until it is written over: it is its owner's alone.
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw Refusal("\(path) cannot be made: \(String(cString: strerror(errno)))")
    }
    defer { close(descriptor) }
    // A file that is larger keeps its size: cutting it off could cut off what is still wanted.
    guard wanted > formerSize ?? 0 else { return }
    // A limit on the size of files is an error to be told, not a signal to die of.
    signal(SIGXFSZ, SIG_IGN)
    guard ftruncate(descriptor, wanted) == 0 else {
      let reason = String(cString: strerror(errno))
      undo()
      throw Refusal("\(path) cannot be made \(size) bytes large: \(reason)")
    }
  }

  /// The filesystem was not made: the file is as it was.
  func undo() {
    guard isOurs else { return }
    if let formerSize { truncate(path, formerSize) } else { unlink(path) }
  }
}
