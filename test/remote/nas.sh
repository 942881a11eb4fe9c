#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# The network storage: process 1 of namespaces of its own, in which NFS-Ganesha
# and Samba run on their usual ports. When it is killed, the kernel ends them
# and takes the mounts and the interface away.
#
# nas.sh TREE STATE ADDRESS/BITS
set -euo pipefail
tree=$1 state=$2 address=$3

mount --make-rprivate /
mkdir -p "$state"/nas/{upper,work,root}
mount -t overlay overlay -o "lowerdir=$tree/root,upperdir=$state/nas/upper,workdir=$state/nas/work" "$state/nas/root"
root=$state/nas/root
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount --rbind /dev "$root/dev"
mkdir -p "$root"/export/{nfs,cifs} "$root"/run/{ganesha,samba}
mount --bind "$state/nfs" "$root/export/nfs"
mount --bind "$state/cifs" "$root/export/cifs"

ln -sf /proc/self/mounts "$root/etc/mtab"

hostname nas
until ip link show eth0 >/dev/null 2>&1; do sleep 0.1; done
ip link set lo up
ip address add "$address" dev eth0
ip link set eth0 up

# NFS 4 needs no port mapper and no lock daemon. Without Graceless, clients of
# a server that has just started wait 90 seconds before they may open files.
# Nothing is cached, so that the server sees what a test does to the directory.
# Everybody who is root is nobody here, as on most real servers.
cat >"$root/etc/ganesha/ganesha.conf" <<END
NFS_Core_Param { Protocols = 4; Bind_addr = ${address%/*}; Enable_UDP = false; Enable_NLM = false; Enable_RQUOTA = false; }
NFS_KRB5 { Active_krb5 = false; }
NFSv4 { Graceless = true; Only_Numeric_Owners = true; }
EXPORT {
  Export_Id = 1;
  Path = /export/nfs;
  Pseudo = /export/nfs;
  Access_Type = RW;
  Squash = Root_Squash;
  Anonymous_Uid = 65534;
  Anonymous_Gid = 65534;
  Protocols = 4;
  Transports = TCP;
  Attr_Expiration_Time = 0;
  SecType = sys;
  FSAL { Name = VFS; }
}
LOG { Default_Log_Level = EVENT; }
END
cat >"$root/etc/samba/smb.conf" <<END
[global]
  workgroup = TEST
  server role = standalone server
  server min protocol = SMB3
  disable netbios = yes
  smb ports = 445
  interfaces = ${address}
  bind interfaces only = yes
  map to guest = never
  load printers = no
  disable spoolss = yes
  log file = /dev/stderr
  log level = 1
[backups]
  path = /export/cifs
  read only = no
  valid users = backup
END
read -r username password <"$state/credentials"
chroot "$root" sh -c 'id "$1" >/dev/null 2>&1 || useradd --no-create-home --shell /usr/sbin/nologin "$1"
  printf "%s\n%s\n" "$2" "$2" | smbpasswd -s -a "$1" >/dev/null
  chown "$1:" /export/cifs' sh "$username" "$password"
chown 65534:65534 "$root/export/nfs"

chroot "$root" ganesha.nfsd -F -L /dev/stderr -f /etc/ganesha/ganesha.conf &
chroot "$root" smbd --foreground --no-process-group --debug-stdout </dev/null &
# One that ends takes the other with it: a test must see that, not hang.
wait -n
