#!/bin/sh
# A net-setup script: xcluster calls `net-setup.sh NODE NET` for each NIC of a node before the node boots. The script prints QEMU's
# args for the NIC. Standard error is for people; an exit code other than 0 fails the boot.
#
#     xcluster start --net-setup examples/net-setup.sh --netns private
#
# It makes a bridge for each net, on which the host is .250, and a tap for each NIC. In the cluster's network namespace that needs
# no root, and the bridges and taps end with the namespace.
set -eu
PATH=$PATH:/usr/sbin:/sbin
node=$1
net=$2
bridge=xcbr$net
tap=xcbr${net}_t$node

# Scripts of other nodes run at the same time, and one of them makes the bridge. A bridge gets its name when it is complete.
if ! ip link show "$bridge" >/dev/null 2>&1; then
	new=xcnew${net}_$node
	ip link add "$new" type bridge
	ip link set "$new" mtu "$__mtu"
	if ip link set "$new" name "$bridge" 2>/dev/null; then
		ip address add "192.168.$net.250/24" dev "$bridge"
		ip address add "1000::1:192.168.$net.250/120" dev "$bridge" nodad
		ip link set "$bridge" up
	else
		ip link del "$new"
	fi
fi

# The cluster passes the net's MTU in `__mtu`.
ip tuntap add "$tap" mode tap
ip link set "$tap" mtu "$__mtu" master "$bridge" up

# The guest reads its number from the address of its first NIC, and each MTU from the NIC.
mac=$(printf '00:00:00:01:%02x:%02x' "$net" "$node")
echo "-netdev tap,id=net$net,ifname=$tap,script=no,downscript=no"
echo "-device virtio-net-pci,netdev=net$net,mac=$mac,host_mtu=$__mtu,romfile="
