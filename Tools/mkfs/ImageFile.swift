import Device
import Glibc

/// The image file behind the device's name, made or enlarged before the filesystem, and taken back when that fails.
struct ImageFile {
  private let path: String
  private let descriptor: Int32
  /// The size to go back to; nil for a file that was not there.
  private let formerSize: off_t?

  /// Makes the file that `device` names, when a size is given.
  /// - Throws: `Refusal` when a size is given to what is no file, or the file cannot be made.
  init(device: String, size: UInt64?, dryRun: Bool) throws {
    guard let size else {
      (path, descriptor, formerSize) = ("", -1, nil)
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
    descriptor = dryRun ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard !dryRun else { return }
    guard descriptor >= 0 else {
      throw Refusal("\(path) cannot be made: \(String(cString: strerror(errno)))")
    }
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

  /// The filesystem was made.
  func keep() {
    if descriptor >= 0 { close(descriptor) }
  }

  /// It was not: the file is as it was.
  func undo() {
    guard descriptor >= 0 else { return }
    if let formerSize { ftruncate(descriptor, formerSize) } else { unlink(path) }
    close(descriptor)
  }
}
