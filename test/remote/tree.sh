#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Makes, from Debian packages, what the remote machines run, or finds it made,
# and prints the directory that holds it:
#   root/      a Debian tree with the NFS and SMB servers and clients and a container runtime
#   disk.img   the same tree as an ext4 image, for the virtual machine
#   vmlinuz    Debian's kernel for virtual machines: it has NFS and CIFS clients
#   drivers    the modules that the kernel needs to find its disk, in root/
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

packages=busybox-static,kmod,iproute2,iptables,mount,util-linux,procps,rsync,zstd
packages+=,containerd,runc,containernetworking-plugins,dropbear-bin
packages+=,nfs-common,cifs-utils,nfs-ganesha,nfs-ganesha-vfs,samba

need_root
release=$(. /etc/os-release && [[ $ID == debian ]] && echo "$VERSION_CODENAME") || release=bookworm
key=$({ echo "$packages $release"; cat "${BASH_SOURCE[0]}"; } | sha256sum | cut -c1-12)
result=$cache/$release-$key
if [[ -e $result ]]; then
  echo "$result"
  exit
fi

need mmdebstrap=mmdebstrap mke2fs=e2fsprogs
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
if [[ -e $result ]]; then
  echo "$result"
  exit
fi
say "making a Debian $release tree with an NFS and an SMB server and a kernel that mounts both (about 2 minutes)"
work=$(mktemp -d "$cache/.build.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
chmod 755 "$work"

root=$work/root
# The kernel is unpacked and not installed: it needs no boot loader here.
mmdebstrap --quiet --mode=root --variant=minbase --format=directory --include="$packages" \
  --aptopt='Apt::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook='cd "$1" && kernel=$(chroot . apt-cache depends linux-image-cloud-amd64 | sed -n "s/.*Depends: \(linux-image-[^ ]*\)/\1/p") &&
    chroot . sh -c "mkdir /kernel && cd /kernel && apt-get -q download $kernel && dpkg-deb -x linux-image-*.deb /kernel && rm linux-image-*.deb"' \
  "$release" "$root" >"$work/log" 2>&1 || { tail -30 "$work/log" >&2; exit 1; }

mv "$root"/kernel/boot/vmlinuz-* "$work/vmlinuz"
cp -a "$root"/kernel/lib/modules "$root/lib/"
rm -rf "$root/kernel"
version=$(ls "$root/lib/modules")
chroot "$root" depmod "$version"

# The drivers of the disk and of the network, in the order to load them in.
chroot "$root" modprobe -a -S "$version" --show-depends virtio_pci virtio_blk virtio_net virtio_rng |
  awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$work/drivers"

mkdir -p "$root/node" "$root/export"
mke2fs -q -t ext4 -O ^has_journal -d "$root" "$work/disk.img" 4G >&2
mv -T "$work" "$result"
trap - EXIT
echo "$result"
