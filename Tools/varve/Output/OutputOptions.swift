import ArgumentParser
import Device
import JSONValue

/// How a command prints what it found.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  case normal, json
}

/// The option every command that prints data has, called as in nvme-cli.
struct OutputOptions: ParsableArguments {
  @Option(name: [.short, .long], help: "How to print: for people, or as JSON.")
  var outputFormat = OutputFormat.normal

  /// Prints one of the two. What devices and others say is made printable.
  func print(_ json: @autoclosure () -> JSON, normal: @autoclosure () -> String) {
    Swift.print(outputFormat == .json ? json().description : normal().printable)
  }
}
