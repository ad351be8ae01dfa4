# The guest's kernel: a Debian kernel package, unpacked and never installed. Sourced by Tools/guest.

# Kernel and base file system are kept here from run to run, for all checkouts of this user.
guest_cache="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/varve/guest"

# The kernel modules a guest can load: what Varve needs, what carries a shared folder, and the kernel's own NVMe
# driver and ext4 to compare with. Whatever the kernel has built in is passed over.
guest_modules=(virtio_pci 9pnet_virtio 9p vfio_iommu_type1 vfio-pci fuse nvme ext4 loop dm-mod)

# Puts kernel and base file system into the cache unless they are there, and sets `kernel` and `base` to them.
prepare_kernel() {
  mkdir -p "$guest_cache"
  exec {cache_lock}>"$guest_cache/lock"
  flock "$cache_lock"
  kernel="$guest_cache/vmlinux"
  base="$guest_cache/base.cpio"
  # The base file system holds files of this repository: any change of them makes it anew.
  local recipe
  recipe=$(cat "$root"/Tools/lib/{kernel.sh,guest-init} | sha256sum | cut -d ' ' -f 1)
  if [ ! -e "$kernel" ] || [ "$(cat "$guest_cache/recipe" 2>/dev/null)" != "$recipe" ]; then
    [ -d "$guest_cache/tree" ] || unpack_kernel
    extract_kernel
    make_base
    echo "$recipe" >"$guest_cache/recipe"
  fi
  exec {cache_lock}>&-
}

# The version of the unpacked kernel, which its modules' folder is named for.
kernel_version() { ls "$guest_cache/tree/lib/modules"; }

# Downloads the kernel package that Debian's metapackage stands for today, and unpacks it to tree/.
unpack_kernel() {
  local package
  package=$(kernel_package)
  if [ -z "$package" ]; then
    if [ "$(id -u)" -eq 0 ]; then apt-get -q update >&2; else sudo apt-get -q update >&2; fi
    package=$(kernel_package)
  fi
  [ -n "$package" ] || fail 125 "apt knows no kernel package (linux-image-amd64)"
  say "unpacking $package into $guest_cache"
  local work
  work=$(mktemp -d "$guest_cache/unpack.XXXXXX")
  (cd "$work" && apt-get -q download "$package" >&2 && dpkg -x ./*.deb tree && rm ./*.deb) ||
    fail 125 "the kernel package $package could not be downloaded"
  # Debian 13 unpacks to usr/lib.
  [ -d "$work/tree/lib" ] || ln -s usr/lib "$work/tree/lib"
  depmod -b "$work/tree" "$(ls "$work/tree/lib/modules")"
  mv "$work/tree" "$guest_cache/tree"
  rmdir "$work"
}

# The name of the newest kernel package.
kernel_package() {
  apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1
}

# Takes the uncompressed kernel out of the bzImage: unpacking it under emulation would cost more than the whole boot.
# The offsets are those of the x86 boot protocol (Documentation/arch/x86/boot.rst in Linux).
extract_kernel() {
  local image sectors start length
  image=$(echo "$guest_cache"/tree/boot/vmlinuz-*)
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

# Makes the base file system: busybox, the modules with what they depend on, and the first process.
make_base() {
  local tree version
  tree=$(mktemp -d "$guest_cache/base.XXXXXX")
  version=$(kernel_version)
  mkdir -p "$tree"/{bin,sbin,usr/bin,usr/sbin,usr/local/bin,proc,sys,dev,tmp,run,mnt,share,root,etc}
  cp /bin/busybox "$tree/bin/"
  local applet
  for applet in $(busybox --list-full); do
    [ "$applet" = bin/busybox ] || ln -s /bin/busybox "$tree/$applet"
  done
  copy_modules "$tree" "$version"
  cp "$root/Tools/lib/guest-init" "$tree/init"
  chmod +x "$tree/init"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
  echo 'root:x:0:' >"$tree/etc/group"
  ln -s /proc/self/mounts "$tree/etc/mtab"
  pack "$tree" "$base.new"
  mv "$base.new" "$base"
  rm -r "$tree"
}

# copy_modules TREE VERSION
copy_modules() {
  local module file target
  local folder="lib/modules/$2"
  mkdir -p "$1/$folder"
  for module in "${guest_modules[@]}"; do
    modprobe -d "$guest_cache/tree" -S "$2" --show-depends "$module" 2>/dev/null | sed -n 's/^insmod \([^ ]*\).*/\1/p'
  done | sort -u | while read -r file; do
    target="$1/$folder/$(basename "${file%.xz}")"
    case $file in
      *.xz) xz --decompress --stdout "$file" >"$target" ;;
      *) cp "$file" "$target" ;;
    esac
    strip --strip-debug "$target"
  done
  cp "$guest_cache/tree/$folder"/modules.{builtin,builtin.modinfo,order} "$1/$folder/"
  depmod -b "$1" "$2"
}

# pack FOLDER ARCHIVE: an archive as the kernel unpacks it at boot.
pack() { (cd "$1" && find . | cpio --create --format=newc --quiet --owner=0:0) >"$2"; }
