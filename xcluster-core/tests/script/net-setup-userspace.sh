#!/bin/sh
# A net-setup script for who has no privilege: QEMU's own TCP/IP for net 0, multicast on loopback for the others.
set -e
node=$1
net=$2

hex() {
	printf '%02x' "$1"
}

echo "-device virtio-net-pci,netdev=net$net,mac=00:00:00:01:$(hex "$net"):$(hex "$node"),host_mtu=$__mtu"
if [ "$net" -eq 0 ]; then
	telnet=$((${XCLUSTER_TELNET_BASE:-12000} + node))
	ssh=$((${XCLUSTER_SSH_BASE:-12300} + node))
	other=$((14000 + node))
	guest=192.168.0.$node
	printf '%s' "-netdev user,id=net0,net=192.168.0.0/24,host=192.168.0.250,dns=192.168.0.251,dhcpstart=192.168.0.241"
	printf '%s' ",ipv6-prefix=1000::1:192.168.0.0,ipv6-prefixlen=120,ipv6-host=1000::1:192.168.0.250"
	printf '%s' ",ipv6-dns=1000::1:192.168.0.251"
	echo ",hostfwd=tcp::$telnet-$guest:23,hostfwd=tcp:127.0.0.1:$ssh-$guest:22,hostfwd=tcp::$other-$guest:4711"
else
	group=224.0.0.$((${XCLUSTER_MCAST_BASE:-120} + net))
	echo "-netdev socket,id=net$net,mcast=$group:${MCAST_PORT:-27030},localaddr=127.0.0.1"
fi
