import Glibc

/// A moment as ISO 8601 has it, in UTC, from nanoseconds since 1970.
/// - Parameter digits: of the fraction of a second, 0 to 9.
public func timeText(_ nanoseconds: Int64, digits: Int = 9) -> String {
  let billion: Int64 = 1_000_000_000
  var seconds = time_t(nanoseconds / billion)
  var fraction = nanoseconds % billion
  if fraction < 0 {
    seconds -= 1
    fraction += billion
  }
  var parts = tm()
  guard gmtime_r(&seconds, &parts) != nil else { return "\(nanoseconds) ns" }
  var buffer = [CChar](repeating: 0, count: 40)
  let count = strftime(&buffer, buffer.count, "%Y-%m-%dT%H:%M:%S", &parts)
  let text = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  guard digits > 0 else { return text + "Z" }
  let all = String(fraction)
  return text + "." + (String(repeating: "0", count: 9 - all.count) + all).prefix(digits) + "Z"
}
