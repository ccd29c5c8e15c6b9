#!/bin/sh
# A net-setup script: `net-setup.sh NODE NET` is called for each NIC of a node before it boots, and prints the args of QEMU's
# command line for it. What it says on standard error is for people; any code but 0 keeps the node from starting.
#
#     xcluster start --net-setup examples/net-setup.sh --netns private
#
# It makes a tap for each NIC on a bridge for each net, with the host on it as .250. That takes no root where it runs in the
# cluster's network namespace, and what it makes goes with that.
set -eu
PATH=$PATH:/usr/sbin:/sbin
node=$1
net=$2
bridge=xcbr$net
tap=xcbr${net}_t$node

# Scripts of other nodes run at the same time: one of them makes the bridge, and it is finished when it gets its name.
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

# As large as the net is said to be, which the cluster tells in `__mtu`.
ip tuntap add "$tap" mode tap
ip link set "$tap" mtu "$__mtu" master "$bridge" up

# The guest takes its number from the address of its first NIC, and each MTU from the NIC. The tap goes when the node goes.
mac=$(printf '00:00:00:01:%02x:%02x' "$net" "$node")
echo "-netdev tap,id=net$net,ifname=$tap,script=no,downscript=no"
echo "-device virtio-net-pci,netdev=net$net,mac=$mac,host_mtu=$__mtu,romfile="
