#!/bin/sh
# A Debian folder with PostgreSQL and Odoo 19 or 14, and a way to run programs in it. The one with Odoo 19 has nginx too.
#
#   chroot.sh build ROOT VERSION      makes the folder with this version of Odoo
#   chroot.sh enter ROOT STATE CMD…   runs CMD in it: ROOT read-only, the folder STATE writable at /srv/hearth
#
# It must be pid 1 of namespaces of its own (process_linux.go): then nobody outside sees its mounts, so nothing can be
# deleted through them, and the kernel ends every process and mount when pid 1 ends, however that comes about.
set -eu
[ $$ -eq 1 ] || { echo "chroot.sh: not in namespaces of its own" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
mirror=http://deb.debian.org/debian

build() {
	if ! command -v debootstrap >/dev/null; then
		apt-get update
		apt-get install -y --no-install-recommends debootstrap debian-archive-keyring
	fi
	case $version in
	19) release=trixie zones=tzdata,tzdata-legacy packages='nginx postgresql-17 odoo-19' ;;
	14) release=bullseye zones=tzdata packages='postgresql-13 odoo-14' ;;
	*)
		echo "chroot.sh: no Debian folder is known for Odoo $version: 14 and 19 are" >&2
		exit 1
		;;
	esac
	debootstrap --variant=minbase --include="ca-certificates,$zones" "$release" "$root" "$mirror"

	# debootstrap has made the device nodes needed, so the real /dev stays out.
	mount -t proc proc "$root/proc"
	mount -t tmpfs tmpfs "$root/dev/shm"
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # apt starts no service
	chmod 755 "$root/usr/sbin/policy-rc.d"
	mkdir -p "$root/etc/postgresql-common"
	echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.conf"

	if [ "$version" = 19 ]; then
		# Odoo 19 is in unstable only; all it depends on comes from trixie, whose Python it works with.
		sed 's/trixie/unstable/; s/^deb /deb [check-valid-until=no] /' "$root/etc/apt/sources.list" \
			>"$root/etc/apt/sources.list.d/unstable.list"
		printf 'Package: *\nPin: release a=unstable\nPin-Priority: 100\n' >"$root/etc/apt/preferences.d/unstable"
	fi
	chroot "$root" apt-get update
	chroot "$root" apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io $packages
	chroot "$root" apt-get clean
	mkdir -p "$root/srv/hearth"
}

enter() {
	mount --bind "$root" "$root"
	mount -o remount,bind,ro "$root"
	mount -t proc proc "$root/proc"
	for tmp in dev/shm run tmp; do
		mount -t tmpfs -o mode=1777 tmpfs "$root/$tmp"
	done
	mount --bind "$state" "$root/srv/hearth"
	exec chroot "$root" /usr/bin/env -i -C / HOME=/tmp LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

verb=$1 root=$2
shift 2
case $verb in
build)
	version=$1
	build
	;;
enter)
	state=$1
	shift
	enter "$@"
	;;
*) exit 2 ;;
esac
