import CMachine
import Glibc
import PCI

/// An image file, held open and locked against other writers; see `ImageLock`.
final class ImageBacking: Backing {
  private let file: ImageMedium
  /// The file's mapping, where the file lies in memory (tmpfs).
  private let mapping: ImageMapping?

  /// Whether the file may only be read.
  let isReadOnly: Bool

  /// Where the image's LBA format is kept.
  var format: ImageFormat { ImageFormat(descriptor: file.descriptor) }

  /// Where the counters of the image's device are kept.
  var counters: ImageCounters { ImageCounters(descriptor: file.descriptor) }

  var medium: Medium { mapping.map { .mapped($0.medium) } ?? .image(file) }

  /// Opens and locks the image, read-only where it may not be written.
  /// - Parameter isReadOnly: whether to open it read-only in any case.
  /// - Throws: `FunctionError` when it is missing, no regular file, too small, not permitted, or held by
  ///   another process, which is then named.
  init(path: String, blockSize: Int, isReadOnly: Bool = false) throws(FunctionError) {
    var (opened, isReadOnly) = try Self.open(path, isReadOnly: isReadOnly)
    var isOpen = true
    let size: Int
    do throws(FunctionError) {
      size = try Self.usableSize(opened, path, blockSize)
      if try !ImageLock.take(opened, path) {
        close(opened)
        isOpen = false
        try ImageLock.requireNoWriter(path)
        (opened, isReadOnly) = try Self.open(path, isReadOnly: isReadOnly)
        ImageLock.takeLater(opened)
      }
    } catch {
      if isOpen { close(opened) }
      throw error
    }
    self.isReadOnly = isReadOnly
    let (tmpfs, ramfs) = (0x0102_1994, 0x8584_58f6)
    let isInMemory = [tmpfs, ramfs].contains(cm_filesystem_type(opened))
    file = ImageMedium(descriptor: opened, size: size, mayBlock: !isInMemory)
    mapping = isInMemory ? ImageMapping(file, isReadOnly: isReadOnly) : nil
  }

  deinit {
    // While the file is still open.
    if !isReadOnly { mapping?.medium.releaseZeroPages() }
    close(file.descriptor)
  }

  private static func open(
    _ path: String, isReadOnly: Bool
  ) throws(FunctionError) -> (descriptor: Int32, isReadOnly: Bool) {
    let flags = O_CLOEXEC | O_NOCTTY
    if !isReadOnly {
      let opened = Glibc.open(path, O_RDWR | flags)
      if opened >= 0 { return (opened, false) }
    }
    let failure = isReadOnly ? EROFS : errno
    let opened = [EROFS, EACCES, EPERM].contains(failure) ? Glibc.open(path, O_RDONLY | flags) : -1
    guard opened >= 0 else { throw openError(path, isReadOnly ? errno : failure) }
    return (opened, true)
  }

  private static func openError(_ path: String, _ code: Int32) -> FunctionError {
    switch code {
    case ENOENT:
      FunctionError(
        "\(path) does not exist", remedy: "make it: mkfs.varve \(path) 4G", errno: code)
    case EACCES, EPERM:
      FunctionError(
        "\(path) may not be read and written by this user", remedy: "chmod u+rw \(path), or chown it",
        errno: code)
    case EISDIR:
      FunctionError("\(path) is a directory, not an image file", errno: code)
    default:
      FunctionError("\(path) cannot be opened: \(String(cString: strerror(code)))", errno: code)
    }
  }

  /// The size in whole 4 KiB blocks, in bytes.
  private static func usableSize(
    _ descriptor: Int32, _ path: String, _ blockSize: Int
  ) throws(FunctionError) -> Int {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw openError(path, errno) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw FunctionError("\(path) is not a regular file", remedy: "name an image file", errno: ENODEV)
    }
    let size = Int(status.st_size) / blockSize * blockSize
    guard size > 0 else {
      throw FunctionError(
        "\(path) is too small for a device: \(status.st_size) bytes", remedy: "truncate -s 4G \(path)",
        errno: EINVAL)
    }
    return size
  }
}
