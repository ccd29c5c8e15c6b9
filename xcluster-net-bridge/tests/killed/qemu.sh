#!/bin/bash
# In QEMU's place: says on its monitor and its console that all is well and stays, whoever hangs up, until it is killed.
[ "$1" = --version ] && exec echo 'QEMU emulator version 7.2.0'
for word; do
    case $word in
    socket,id=monitor,fd=*) monitor=${word##*=} ;;
    socket,id=console,fd=*) console=${word#*,fd=} console=${console%%,*} ;;
    esac
done
echo '{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}}}' >&"$monitor"
read -r -u "$monitor" _
echo '{"return": {}, "id": 0}' >&"$monitor"
echo 'the guest is up' >&"$console"
exec sleep infinity
