import NVMeSpec
import Testing

@Suite("Status codes")
struct StatusTests {
  @Test("every named code has a unique name and a text")
  func names() {
    #expect(StatusCode.all.count > 110)
    #expect(Set(StatusCode.all.map(\.name)).count == StatusCode.all.count)
    for code in StatusCode.all {
      #expect(!code.text.isEmpty, "\(code)")
    }
  }

  @Test("every status equals the one made of its parts")
  func parts() {
    for raw in UInt16(0)..<0x8000 {
      let status = Status(rawValue: raw)
      let again = Status(
        status.code, doNotRetry: status.doNotRetry, retryDelay: status.retryDelay, more: status.more)
      guard again == status, StatusCode(status.code.type, status.code.code) == status.code,
        !status.description.isEmpty
      else {
        Issue.record("status \(raw)")
        return
      }
    }
  }

  @Test("raw values are those that other tools print")
  func raw() {
    #expect(Status(.lbaOutOfRange, doNotRetry: true).rawValue == 0x4080)
    #expect(Status(.unrecoveredReadError).rawValue == 0x281)
    #expect(Status(.invalidQueueSize, doNotRetry: true).rawValue == 0x4102)
    #expect(Status.success.isSuccess && Status(.success, more: true).isSuccess)
  }
}
