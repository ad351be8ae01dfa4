import NVMeSpec
import Testing

@Suite("Status codes")
struct StatusTests {
  @Test("every named code has a name and a text of its own")
  func names() {
    #expect(StatusCode.all.count > 110)
    #expect(Set(StatusCode.all.map(\.name)).count == StatusCode.all.count)
    for code in StatusCode.all {
      #expect(!code.text.isEmpty, "\(code)")
    }
  }

  @Test("every status survives its parts", arguments: Array(stride(from: UInt16(0), to: 0x8000, by: 37)))
  func parts(raw: UInt16) {
    let status = Status(rawValue: raw)
    let again = Status(
      status.code, doNotRetry: status.doNotRetry, retryDelay: status.retryDelay, more: status.more)
    #expect(again == status)
    #expect(StatusCode(status.code.type, status.code.code) == status.code)
    #expect(!status.description.isEmpty)
  }

  @Test("raw values are the ones other tools print")
  func raw() {
    #expect(Status(.lbaOutOfRange, doNotRetry: true).rawValue == 0x4080)
    #expect(Status(.unrecoveredReadError).rawValue == 0x281)
    #expect(Status(.invalidQueueSize, doNotRetry: true).rawValue == 0x4102)
    #expect(Status.success.isSuccess && Status(.success, more: true).isSuccess)
  }
}
