# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# The node in the virtual machine: what is written to its second disk, and its
# start. To be sourced after lib.sh; $state, $tree, $assets, $pki, $server,
# $bridge and $network are set.
# shellcheck shell=bash

# kubeconfig_for USER GROUP: prints a kubeconfig, in JSON, with a new client certificate.
kubeconfig_for() {
  local dir
  dir=$(mktemp -d "$state/certificate.XXXXXX")
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "${2:+/O=$2}/CN=$1" \
    -keyout "$dir/key" -out "$dir/request" 2>/dev/null
  openssl x509 -req -in "$dir/request" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -set_serial "0x$(openssl rand -hex 15)" \
    -days 365 -out "$dir/certificate" -extfile <(echo extendedKeyUsage=clientAuth) 2>/dev/null
  cat <<END
{"apiVersion": "v1", "kind": "Config", "current-context": "c",
 "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
 "clusters": [{"name": "c", "cluster": {"server": "$server", "certificate-authority-data": "$(base64 -w0 <"$pki/ca.crt")"}}],
 "users": [{"name": "u", "user": {"client-certificate-data": "$(base64 -w0 <"$dir/certificate")", "client-key-data": "$(base64 -w0 <"$dir/key")"}}]}
END
  rm -rf "$dir"
}

# write_node_disk: everything that is this node's own, as an ext4 image.
write_node_disk() {
  local disk=$state/node-disk
  mkdir -p "$disk"/{bin,etc,images}
  cp "$remote_dir"/guest/{boot,service,inittab} "$disk/"
  cp "$remote_dir"/guest/{containerd.toml,kubelet.json} "$pki/ca.crt" "$disk/etc/"
  cp "$assets/cluster-node" "$disk/bin/kubelet"
  (cd "$remote_dir/smb-csi" && GOWORK=off CGO_ENABLED=0 go build -buildvcs=false -ldflags '-s -w' -o "$disk/bin/smb-csi" .)
  cp "$(dirname "$pki")/pause.tar" "$disk/images/"
  kubeconfig_for "system:node:$node_name" system:nodes >"$disk/etc/kubelet.kubeconfig"
  kubeconfig_for smb-csi-node "" >"$disk/etc/smb-csi.kubeconfig"
  cat >"$disk/etc/settings" <<END
NODE=$node_name
ADDRESS=$node_address/24
GATEWAY=$network.1
END
  cat >"$disk/etc/10-bridge.conflist" <<END
{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
 "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pod_cidr"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
  ssh-keygen -q -t ed25519 -N "" -C "" -f "$state/login_key"
  ssh-keygen -q -t ed25519 -N "" -C "" -f "$state/host_key"
  cp "$state/login_key.pub" "$disk/etc/authorized_keys"
  cp "$state/host_key" "$tree/root/node/host_key.$$"
  chroot "$tree/root" dropbearconvert openssh dropbear "/node/host_key.$$" "/node/host_key.$$.dropbear" 2>/dev/null
  mv "$tree/root/node/host_key.$$.dropbear" "$disk/etc/host_key"
  rm "$tree/root/node/host_key.$$"
  echo "$node_address $(<"$state/host_key.pub")" >"$state/known_hosts"
  mke2fs -q -t ext4 -O ^has_journal -d "$disk" "$state/node.img" 1G >&2
  rm -rf "$disk"
}

# write_initrd: what the kernel starts first: it loads the drivers of the disk.
write_initrd() {
  local initrd=$state/initrd.tree driver
  mkdir -p "$initrd"/{bin,dev,proc,root,drivers}
  cp "$tree/root/bin/busybox" "$initrd/bin/"
  cp "$remote_dir/guest/init" "$initrd/"
  while read -r driver; do
    cp "$tree/root/$driver" "$initrd/drivers/"
    basename "$driver" >>"$initrd/drivers/order"
  done <"$tree/drivers"
  (cd "$initrd" && find . | cpio --quiet -o -H newc) >"$state/initrd"
  rm -rf "$initrd"
}

# accelerator: how this machine runs virtual machines. That /dev/kvm opens does
# not tell whether it can run this kernel, so it is tried.
accelerator() {
  if [[ -w /dev/kvm ]] && timeout 20 qemu-system-x86_64 -accel kvm -cpu host -m 256 -nodefaults -display none -no-reboot \
    -serial stdio -kernel "$tree/vmlinuz" -initrd "$state/initrd" -append "console=ttyS0 quiet panic=-1 probe" \
    </dev/null 2>/dev/null | grep -q "the virtual machine runs"; then
    echo kvm host
  else
    say "no working hardware virtualization: the node runs in software emulation, some twenty times slower"
    echo tcg,tb-size=512 max
  fi
}

start_node() {
  local accelerator cpu
  read -r accelerator cpu <<<"$(accelerator)"
  ip tuntap add dev "${interface}v" mode tap
  ip link set "${interface}v" master "$bridge" up
  qemu-system-x86_64 -name "$interface" -daemonize -pidfile "$state/qemu.pid" \
    -accel "$accelerator" -cpu "$cpu" -smp 1 -m 2048 \
    -nodefaults -display none -no-reboot -serial "file:$state/console.log" \
    -kernel "$tree/vmlinuz" -initrd "$state/initrd" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on net.ifnames=0" \
    -drive "file=$tree/disk.img,format=raw,if=virtio,snapshot=on" \
    -drive "file=$state/node.img,format=raw,if=virtio,cache=unsafe" \
    -netdev "tap,id=net,ifname=${interface}v,script=no,downscript=no" \
    -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci
  remember "$state/node.pid" "$(<"$state/qemu.pid")"
}
