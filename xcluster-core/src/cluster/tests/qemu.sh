#!/bin/bash
# A QEMU that greets on its monitor and then does nothing until it is killed.
[ "$1" = --version ] && exec echo 'QEMU emulator version 7.2.0'
for word; do
    case $word in socket,id=monitor,fd=*) monitor=${word##*=} ;; esac
done
echo '{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}}}' >&"$monitor"
read -r -u "$monitor" _
echo '{"return": {}, "id": 0}' >&"$monitor"
read -r -u "$monitor" _
