import FsckCommand
import MkfsCommand
import MountDaemon

// One program under several names, of which what precedes the dot says what it is to do: so there is one file to install, and what
// the commands have in common is there once.
switch CommandLine.arguments.first?.split(separator: "/").last?.prefix(while: { $0 != "." }) {
case "mkfs": Make.main()
case "fsck": Fsck.main()
case "mount", "umount": MountCommand.main()
default: Varve.runAndExit()
}
