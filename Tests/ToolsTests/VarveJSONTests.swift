import Foundation
import TestSupport
import Testing
import JSONValue

@testable import varve

@Suite struct VarveJSONTests {
  private func parsed(_ value: JSON) throws -> Any {
    try JSONSerialization.jsonObject(with: Data(value.description.utf8), options: .fragmentsAllowed)
  }

  @Test(arguments: 1...50 as ClosedRange<UInt64>)
  func textsComeBackAsTheyWere(seed: UInt64) throws {
    var random = SplitMix(seed: seed)
    var text = ""
    for _ in 0..<Int(random.next() % 40) {
      let value = UInt32(truncatingIfNeeded: random.next()) >> UInt32(random.next() % 25 + 7)
      if let scalar = UnicodeScalar(value) { text.unicodeScalars.append(scalar) }
    }
    #expect(try parsed(.array([.text(text)])) as? [String] == [text])
  }

  @Test func numbersAndNothingKeepTheirKind() throws {
    let value = JSON.object([
      ("whole", .integer(UInt64(1) << 53)), ("real", .real(0.25)), ("none", .real(.nan)),
      ("yes", .bool(true)), ("empty", .array([])), ("missing", .text(nil as String?)),
    ])
    let object = try #require(try parsed(value) as? [String: Any])
    #expect(object["whole"] as? Int == 1 << 53)
    #expect(object["real"] as? Double == 0.25)
    #expect(object["none"] is NSNull && object["missing"] is NSNull)
    #expect(object["yes"] as? Bool == true)
    #expect((object["empty"] as? [Any])?.isEmpty == true)
  }

  @Test func decimalsAreRounded() {
    #expect(decimal(1.25, digits: 1) == "1.3")
    #expect(decimal(0.04, digits: 1) == "0.0")
    #expect(decimal(-1.5, digits: 0) == "-2")
    #expect(decimal(12.005, digits: 3) == "12.005")
    #expect(decimal(.nan, digits: 1) == "nan")
  }
}
