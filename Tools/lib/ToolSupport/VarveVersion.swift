/// The version of Varve: what each command prints with `--version`, a daemon logs when it mounts, and `varve stat` shows.
///
/// The format on disk has its own, which changes only when an older program could not read it any more (`Superblock.version`).
public let varveVersion = "0.1.0"
