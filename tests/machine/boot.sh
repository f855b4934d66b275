# shellcheck shell=bash
# shellcheck disable=SC2154 # the settings are run.sh's
# The two kinds of machine. Both give the rows on standard output and the console to a log, and both are
# ended by a watchdog that knows them by their process. Sourced by run.sh, which sets kind, image and work.

phase_limit=${SIDEWINDER_MACHINE_TIMEOUT:-200}

prepare_machine() {
    [[ $kind != qemu || $suite == bookworm ]] ||
        not_run "the kernel of $suite does not boot reliably under qemu; set SIDEWINDER_MACHINE=uml"
    case $kind in
        qemu) need qemu-system-x86_64 qemu-system-x86 ;;
        uml) need linux.uml user-mode-linux ;;
        *) not_run "SIDEWINDER_MACHINE is qemu or uml, not $kind" ;;
    esac
    need mkfs.ext4 e2fsprogs
}

# boot PHASE: until the machine is off, or the watchdog has ended it.
boot() { "boot_$kind" "$1" "$work/console.$1" </dev/null; }

# No accelerator on purpose: it works wherever a process may run. `-no-reboot` makes a power cut an exit.
boot_qemu() {
    local phase=$1 console=$2
    watched qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 \
        -display none -monitor none -nic none -no-reboot \
        -kernel "$image/vmlinuz" -initrd "$image/initrd" \
        -append "rw quiet console=ttyS0 panic=-1 $(words "$phase" ttyS1 vdb)" \
        -drive "file=$work/disk.img,if=virtio,format=raw,cache=unsafe" \
        -drive "file=$work/payload.img,if=virtio,format=raw,readonly=on" \
        -serial "file:$console" -serial stdio
}

boot_uml() {
    local phase=$1 console=$2
    # shellcheck disable=SC2046 # the kernel takes each word as an argument of its own
    watched linux.uml mem=1024M rw quiet panic=1 root=/dev/ubda ubd0="$work/disk.img" ubd1r="$work/payload.img" \
        con=null con0=null,fd:3 ssl=null ssl0=null,fd:4 $(words "$phase" ttyS0 ubdb) 3>"$console" 4>&1 >>"$console"
}

# What the machine is told: where to begin, which phase this is, where rows go, which disk is the payload.
words() { echo "systemd.unit=machine.service systemd.show_status=0 machine.phase=$1 machine.rows=$2 machine.payload=$3"; }

watched() {
    local status=0
    timeout --kill-after=5 "$phase_limit" "$@" || status=$?
    [[ $status != 124 && $status != 137 ]] || say "the watchdog ended the machine after $phase_limit s"
}
