# shellcheck shell=bash
# shellcheck disable=SC2154 # the settings are run.sh's
# The image: a Debian with systemd and Python, made once per recipe. Sourced by run.sh, which sets
# suite, cache, here and work, and has say, not_run, need.

recipe_packages=systemd,systemd-sysv,dbus,python3,procps,busybox-static
recipe_kernel=linux-image-cloud-amd64
# Of every suite: a newer one does not boot reliably under the emulator (README.md).
recipe_kernel_suite=bookworm
# Loaded by the initrd in this order: what virtio_blk stands on comes first.
recipe_modules=(virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk)

# Any change of the recipe is another image.
recipe_hash() {
    { echo "$suite"; cat "$here/image.sh" "$here"/image/*; } | sha256sum | cut -c 1-16
}

ensure_image() {
    image=$cache/$(recipe_hash)
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9
    [[ -e $image/disk.img ]] || build_image
    # Images of recipes that nobody has used for a month go.
    touch "$image"
    find "$cache" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} +
    exec 9>&-
}

build_image() {
    [[ $EUID == 0 ]] || not_run "no cached image in $cache, and only root can make one with debootstrap"
    need debootstrap debootstrap
    say "making the image (once): debootstrap $suite, log in $work/image.log"
    local root=$work/root
    debootstrap --variant=minbase --include="$recipe_packages" "$suite" "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} \
        >"$work/image.log" 2>&1 || not_run "debootstrap failed: $(tail -n 1 "$work/image.log")"
    fetch_kernel "$root" >>"$work/image.log" 2>&1 || not_run "no kernel: $(tail -n 1 "$work/image.log")"
    furnish "$root"
    mkdir "$work/image"
    make_initrd "$root" "$work/image/initrd"
    mv "$root"/kernel/boot/vmlinuz-* "$work/image/vmlinuz"
    rm -rf "$root"/kernel "$root"/var/{cache,lib}/apt/* "$root"/usr/share/{doc,man,locale}/*
    make_disk "$work/image/disk.img" "$root" 160
    publish_image
    rm -rf "$root"
}

# The kernel is unpacked, not installed: its own initrd would take longer to unpack than we take to boot.
fetch_kernel() {
    local root=$1 name list=$1/etc/apt/sources.list
    sed "s/ $suite / $recipe_kernel_suite /" "$list" >"$list.d/kernel.list"
    [[ $suite != "$recipe_kernel_suite" ]] || rm "$list.d/kernel.list"
    chroot "$root" apt-get -q update
    name=$(chroot "$root" apt-cache --option=APT::Default-Release="$recipe_kernel_suite" depends "$recipe_kernel" |
        awk '/Depends: linux-image/ { print $2; exit }')
    chroot "$root" sh -c "cd /var/tmp && apt-get -q download '$name'"
    mkdir "$root/kernel"
    dpkg-deb -x "$root"/var/tmp/linux-image-*.deb "$root/kernel"
    rm "$root"/var/tmp/linux-image-*.deb
}

furnish() {
    local root=$1
    chroot "$root" useradd --create-home --shell /bin/sh tester
    mkdir "$root/payload"
    cp "$here/image/machine.service" "$root/etc/systemd/system/"
    echo machine >"$root/etc/hostname"
    printf '%032x\n' 1 >"$root/etc/machine-id"
    echo '/dev/root / ext4 rw 0 0' >"$root/etc/fstab"
}

make_initrd() {
    local root=$1 out=$2 tree=$work/initrd module file
    mkdir -p "$tree"/{bin,dev,modules,new}
    cp "$root/bin/busybox" "$tree/bin/"
    cp "$here/image/init" "$tree/init"
    chmod +x "$tree/init"
    for module in "${recipe_modules[@]}"; do
        file=$(find "$root/kernel" -name "$module.ko*" -print -quit)
        # A newer kernel has some of them built in.
        [[ -n $file ]] || continue
        case $file in
            *.xz) xz -dc "$file" >"$tree/modules/$module.ko" ;;
            *) cp "$file" "$tree/modules/$module.ko" ;;
        esac
        echo "$module" >>"$tree/modules/order"
    done
    (cd "$tree" && find . | "$root/bin/busybox" cpio -o -H newc 2>/dev/null | gzip -1) >"$out"
}

# make_disk FILE FOLDER FREE-MIB: an ext4 disk with the folder's content, without mounting anything.
make_disk() {
    local file=$1 folder=$2 spare=$3 used
    used=$(du -sm "$folder" | cut -f 1)
    truncate -s $((used + used / 8 + spare))M "$file"
    PATH=$PATH:/usr/sbin:/sbin mkfs.ext4 -q -F -O ^metadata_csum -d "$folder" "$file"
}

# Under another name first: a half-copied image must never be taken for one.
publish_image() {
    rm -rf "$image.new"
    cp -r --sparse=always "$work/image" "$image.new"
    mv "$image.new" "$image"
    say "image made after ${SECONDS} s: $image"
}
