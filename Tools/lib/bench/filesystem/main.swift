import CMachine
import CMallocTrace
import FileProtocol
import Glibc

// filesystem-bench KIND DEPTH COUNT: COUNT requests of a kind, DEPTH at a time, from the reactor through the
// filesystem and the driver to an emulated controller. They are made twice: once to warm up, and once while
// glibc lists every allocation in the file that MALLOC_TRACE names, for `Tools/lib/bench/allocations`.

let arguments = CommandLine.arguments
guard arguments.count == 4, let kind = RequestKind(rawValue: arguments[1]), let depth = Int(arguments[2]),
  let count = Int(arguments[3]), (1...Machine.slots).contains(depth), count > 0
else {
  print(
    "usage: filesystem-bench \(RequestKind.allCases.map(\.rawValue).joined(separator: "|")) DEPTH COUNT")
  exit(16)
}
do {
  let machine = try Machine()
  let files = try BenchFiles(machine.requests)
  let fill = { (request: inout Request, number: Int) in kind.fill(&request, number, files) }
  try machine.requests.run(count, depth: depth, fill)
  mtrace()
  // An allocation of its own has to be listed, or the listing does not work.
  free(realpath("/", nil))
  let start = cm_monotonic_ns()
  try machine.requests.run(count, depth: depth, fill)
  let time = cm_monotonic_ns() - start
  muntrace()
  print("\(kind.rawValue) \(depth): \(time / UInt64(count)) ns a request")
} catch {
  print("filesystem-bench: \(error)")
  exit(1)
}
