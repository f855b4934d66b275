#!/bin/bash
# Becomes a machine: rows on standard output, the console in a file.
#
#   boot.sh PHASE DISK CONSOLE MONITOR      with MACHINE_{KIND,IMAGE,PAYLOAD,CASES} in the environment
#
# host/watch.py starts it, watches it and ends it.
set -eu
phase=$1 disk=$2 console=$3 monitor=$4

# What the machine is told: where to begin, which phase this is, which cases, where rows go, which disk is the payload.
words() { echo "systemd.unit=machine.service systemd.show_status=0 machine.phase=$phase machine.cases=$MACHINE_CASES machine.rows=$1 machine.payload=$2"; }

# No accelerator on purpose: it works wherever a process may run. `-no-reboot` makes a power cut an exit.
# The monitor can interrupt a frozen kernel, which then says where it was and panics.
boot_qemu() {
    mkfifo "$monitor.in" "$monitor.out"
    exec qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 \
        -display none -monitor "pipe:$monitor" -nic none -no-reboot \
        -kernel "$MACHINE_IMAGE/vmlinuz" -initrd "$MACHINE_IMAGE/initrd" \
        -append "rw quiet console=ttyS0 panic=-1 unknown_nmi_panic $(words ttyS1 vdb)" \
        -drive "file=$disk,if=virtio,format=raw,cache=unsafe" \
        -drive "file=$MACHINE_PAYLOAD,if=virtio,format=raw,readonly=on" \
        -serial "file:$console" -serial stdio
}

boot_uml() {
    # shellcheck disable=SC2046 # the kernel takes each word as an argument of its own
    exec linux.uml mem=1024M rw quiet panic=1 root=/dev/ubda ubd0="$disk" ubd1r="$MACHINE_PAYLOAD" \
        con=null con0=null,fd:3 ssl=null ssl0=null,fd:4 $(words ttyS0 ubdb) 3>"$console" 4>&1 >>"$console"
}

"boot_$MACHINE_KIND"
