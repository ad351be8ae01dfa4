import TestSupport
import Testing

@testable import JSONValue

@Suite struct ReadingTests {
  /// A random value of any kind.
  private func value(_ random: inout SplitMix, depth: Int = 0) -> JSON {
    switch random.next() % (depth < 4 ? 7 : 5) {
    case 0: .null
    case 1: .bool(random.next() & 1 == 0)
    case 2: .integer(random.next())
    case 3: .number(["0", "-1", "2.5", "1e9", "-0.125E-3"][Int(random.next() % 5)])
    case 4: .text(text(&random))
    case 5: .array((0..<random.next() % 4).map { _ in value(&random, depth: depth + 1) })
    default:
      .object((0..<random.next() % 4).map { _ in (text(&random), value(&random, depth: depth + 1)) })
    }
  }

  private func text(_ random: inout SplitMix) -> String {
    var text = ""
    for _ in 0..<random.next() % 8 {
      let code = UInt32(truncatingIfNeeded: random.next()) >> UInt32(random.next() % 25 + 7)
      if let scalar = UnicodeScalar(code) { text.unicodeScalars.append(scalar) }
    }
    return text
  }

  @Test(arguments: 1...200 as ClosedRange<UInt64>)
  func whatIsWrittenReadsBack(seed: UInt64) throws {
    var random = SplitMix(seed: seed)
    let written = value(&random)
    #expect(try JSON(reading: written.line).line == written.line)
    #expect(try JSON(reading: written.description).line == written.line)
  }

  @Test(arguments: 1...300 as ClosedRange<UInt64>)
  func damagedTextsAreErrorsOrValues(seed: UInt64) {
    var random = SplitMix(seed: seed)
    var bytes = Array(value(&random).line.utf8)
    for _ in 0..<1 + random.next() % 4 where !bytes.isEmpty {
      let place = Int(random.next() % UInt64(bytes.count))
      switch random.next() % 3 {
      case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
      case 1: bytes.remove(at: place)
      default: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
      }
    }
    // Any value that was read can be written and read again.
    if let read = try? JSON(reading: bytes) { #expect((try? JSON(reading: read.line).line) == read.line) }
  }

  @Test(arguments: [
    "", " ", "{", "[1", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "01x", "1.", "1e", "-", "+1", "tru", "nulls",
    "\"", "\"\\", "\"\\x\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\u{1}\"", "1 2", "[1]]",
  ])
  func refusesWhatIsNoJSON(text: String) { #expect(throws: JSONError.self) { try JSON(reading: text) } }

  @Test func readsEscapes() throws {
    #expect(try JSON(reading: #""\u0041\n\t\"\\\/\ud83d\ude00é""#).text == "A\n\t\"\\/😀é")
  }

  @Test func depthIsBounded() throws {
    let most = JSON.depthLimit
    let deep = { (depth: Int) in
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    #expect(throws: Never.self) { try JSON(reading: deep(most)) }
    #expect(throws: JSONError.self) { try JSON(reading: deep(most + 1)) }
    #expect(throws: JSONError.self) { try JSON(reading: String(repeating: "[{\"a\":", count: 100_000)) }
  }

  @Test func largeNumbersLoseNothing() throws {
    let value = try JSON(reading: "{\"n\":18446744073709551615,\"m\":-1}")
    #expect(value["n"]?.integer(UInt64.self) == .max)
    #expect(value["m"]?.integer(UInt64.self) == nil)
    #expect(value["m"]?.integer(Int.self) == -1)
    #expect(value["x"] == nil)
  }
}
