#!/bin/sh
# A net-setup script that makes a tap on a bridge: one which is there already or, with MAKE_BRIDGES, its own.
set -e
PATH=$PATH:/usr/sbin:/sbin
node=$1
net=$2
tap=xcbr${net}_t$node

if [ "$MAKE_BRIDGES" ]; then
	# The script of another node may be faster.
	ip link add "xcbr$net" type bridge || :
	ip address add "192.168.$net.250/24" dev "xcbr$net" || :
	ip address add "1000::1:192.168.$net.250/120" dev "xcbr$net" nodad || :
	ip link set "xcbr$net" up
fi
ip tuntap add "$tap" mode tap
ip link set "$tap" mtu "$__mtu" master "xcbr$net" up
echo "made $tap" >&2
mac=$(printf '00:00:00:01:%02x:%02x' "$net" "$node")
echo "-netdev tap,id=net$net,ifname=$tap,script=no,downscript=/tmp/rmtap"
echo "-device virtio-net-pci,netdev=net$net,mac=$mac"
