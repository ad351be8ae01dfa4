# The guest's kernel: a Debian kernel package, unpacked and never installed. Sourced by Tools/guest.

# Kernel and base file system are kept here from run to run, for all checkouts of this user.
guest_cache="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/varve/guest"

# The kernel modules a guest can load: what Varve needs, what carries a shared folder, and the kernel's own NVMe
# driver, ext4 to compare with, and what can stand on a disk. Whatever the kernel has built in is passed over.
guest_modules=(virtio_pci 9pnet_virtio 9p vfio_iommu_type1 vfio-pci fuse nvme ext4 loop dm-mod raid1)

# Puts kernel and base file system into the cache unless they are there, and sets `kernel` and `base` to them.
prepare_kernel() {
  mkdir -p "$guest_cache"
  exec {cache_lock}>"$guest_cache/lock"
  flock "$cache_lock"
  kernel="$guest_cache/vmlinux"
  # The base file system holds files of this checkout, so each version of them has one of its own.
  base="$guest_cache/base-$(cat "$root"/Tools/lib/guest/{kernel.sh,init} | sha256sum | head -c 16).cpio"
  if [ ! -e "$kernel" ] || [ ! -e "$base" ]; then
    find "$guest_cache" -name 'base-*.cpio' -mtime +30 -delete
    make_kernel
  fi
  exec {cache_lock}>&-
}

# Makes kernel and base file system out of the kernel package, which is downloaded once.
make_kernel() {
  local package="$guest_cache/kernel.deb" tree version
  [ -e "$package" ] || download_kernel "$package"
  tree=$(mktemp -d "$guest_cache/tree.XXXXXX")
  dpkg -x "$package" "$tree" || fail 125 "$package is damaged: remove it and try again"
  # Debian 13 unpacks to usr/lib.
  [ -d "$tree/lib" ] || ln -s usr/lib "$tree/lib"
  version=$(ls "$tree/lib/modules")
  depmod -b "$tree" "$version"
  extract_kernel "$tree/boot/vmlinuz-$version"
  make_base "$tree" "$version"
  rm -r "$tree"
}

# download_kernel FILE: the kernel package that Debian's metapackage stands for today.
download_kernel() {
  local package work
  package=$(kernel_package)
  if [ -z "$package" ]; then
    if [ "$(id -u)" -eq 0 ]; then apt-get -q update >&2; else sudo apt-get -q update >&2; fi
    package=$(kernel_package)
  fi
  [ -n "$package" ] || fail 125 "apt knows no kernel package (linux-image-amd64)"
  say "downloading $package into $guest_cache"
  work=$(mktemp -d "$guest_cache/download.XXXXXX")
  # (The option lets root download into a folder that apt's own user cannot write to.)
  (cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$package" >&2) ||
    fail 125 "the kernel package $package could not be downloaded"
  mv "$work"/*.deb "$1"
  rmdir "$work"
}

# The name of the newest kernel package.
kernel_package() {
  apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1
}

# extract_kernel IMAGE: takes the uncompressed kernel out of a bzImage, since unpacking it under emulation would cost more
# than the whole boot.
# The offsets are those of the x86 boot protocol (Documentation/arch/x86/boot.rst in Linux).
extract_kernel() {
  local image=$1 sectors start length
  sectors=$(field "$image" 0x1f1 1)
  start=$(((sectors + 1) * 512 + $(field "$image" 0x248 4)))
  length=$(field "$image" 0x24c 4)
  local payload="$guest_cache/payload"
  tail --bytes "+$((start + 1))" "$image" | head --bytes "$length" >"$payload" || true
  local unpack
  case $(od -An -tx1 -N4 "$payload" | tr -d ' ') in
    fd377a58) unpack=(xz --decompress --stdout --single-stream) ;;
    28b52ffd) unpack=(zstd --decompress --stdout --quiet) ;;
    1f8b08*) unpack=(gzip --decompress --stdout) ;;
    *) fail 125 "$image is compressed in a way that is not known here" ;;
  esac
  # Four bytes of size follow the stream, which every decompressor complains of.
  "${unpack[@]}" <"$payload" >"$kernel.new" 2>/dev/null || true
  rm "$payload"
  [ "$(od -An -tx1 -N4 "$kernel.new" | tr -d ' ')" = 7f454c46 ] || fail 125 "$image could not be unpacked"
  mv "$kernel.new" "$kernel"
}

# field FILE OFFSET BYTES: a little-endian number in a file.
field() { od -An --format="u$3" --skip-bytes="$2" --read-bytes="$3" "$1" | tr -d ' '; }

# make_base KERNEL-TREE VERSION: busybox, the modules with what they depend on, and the first process.
make_base() {
  local tree
  tree=$(mktemp -d "$guest_cache/base.XXXXXX")
  mkdir -p "$tree"/{bin,sbin,usr/bin,usr/sbin,usr/local/bin,proc,sys,dev,tmp,run,mnt,share,root,etc}
  cp /bin/busybox "$tree/bin/"
  local applet
  for applet in $(busybox --list-full); do
    [ "$applet" = bin/busybox ] || ln -s /bin/busybox "$tree/$applet"
  done
  copy_modules "$1" "$2" "$tree"
  cp "$root/Tools/lib/guest/init" "$tree/init"
  chmod +x "$tree/init"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
  echo 'root:x:0:' >"$tree/etc/group"
  ln -s /proc/self/mounts "$tree/etc/mtab"
  pack "$tree" "$base.new"
  mv "$base.new" "$base"
  rm -r "$tree"
}

# copy_modules KERNEL-TREE VERSION TREE
copy_modules() {
  local module file target
  local folder="lib/modules/$2"
  mkdir -p "$3/$folder"
  for module in "${guest_modules[@]}"; do
    modprobe -d "$1" -S "$2" --show-depends "$module" 2>/dev/null | sed -n 's/^insmod \([^ ]*\).*/\1/p'
  done | sort -u | while read -r file; do
    target="$3/$folder/$(basename "${file%.xz}")"
    case $file in
      *.xz) xz --decompress --stdout "$file" >"$target" ;;
      *) cp "$file" "$target" ;;
    esac
    strip --strip-debug "$target"
  done
  cp "$1/$folder"/modules.{builtin,builtin.modinfo,order} "$3/$folder/"
  depmod -b "$3" "$2"
}

# pack FOLDER ARCHIVE: an archive as the kernel unpacks it at boot.
pack() { (cd "$1" && find . | cpio --create --format=newc --quiet --owner=0:0) >"$2"; }
