import FuzzTargets
import Glibc

/// The target that VARVE_FUZZ_TARGET names.
private let target: FuzzTarget = {
  let name = getenv("VARVE_FUZZ_TARGET").map { String(cString: $0) } ?? ""
  guard let target = FuzzTarget(rawValue: name) else { fatalError("there is no fuzz target '\(name)'") }
  return target
}()

/// Called by libFuzzer with each input.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  target.run(UnsafeRawBufferPointer(start: start, count: size))
  return 0
}
