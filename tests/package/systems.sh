# SPDX-License-Identifier: Apache-2.0
# Systems of other Debian releases, in folders of build/. Functions of ./dev, which sources this file: the row trixie runs in one of them.

# Debian 13: made once, for the row trixie and for its packages.
trixie_system=$build/trixie-system
trixie_packages="$build_packages $deb_packages libcunit1-dev g++ binutils mandoc curl jq openssl procps util-linux systemd postgresql-17 redis-server prometheus
	nginx-light haproxy nodejs python3 python3-pytest python3-requests python3-yaml python3-prometheus-client python3-websockets python3-cryptography knot unbound monitoring-plugins-basic monitoring-plugins-standard"

# Runs a command in a mount namespace of its own, so that every mount ends with the command, however that ends.
unmounted() { unshare --mount --propagation private "$@"; }

# Runs a command in the system in folder $1, which sees this tree at its own place.
# shellcheck disable=SC2016 # expanded by the inner shell
in_system() {
	local system=$1; shift
	unmounted bash -ec '
		system=$1 top=$2; shift 2
		mount --bind "$system" "$system" # so that its / is a mount, as on any machine
		mount -t proc proc "$system/proc"
		mount --rbind /dev "$system/dev"
		for folder in "$top" "$(readlink -m "$top/build/openbao")" "$(readlink -m "$top/build/oidc")"; do # links, perhaps
			[ ! -d "$folder" ] || { mkdir -p "$system$folder" && mount --bind "$folder" "$system$folder"; }
		done
		cp /etc/hosts /etc/resolv.conf "$system/etc/"
		exec chroot "$system" /usr/bin/env "$@"' - "$system" "$top" -i \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		CI="${CI:-}" SLOW="${SLOW:-}" ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} "$@"
}

# make_system FOLDER CODENAME [PACKAGE…]: makes that release with the packages in a folder, or adds packages to the one that is there. Prints in one
# line why it cannot be had. The mirror is the one that apt uses here. Two rows that run beside each other may want the same system.
make_system() { (flock 9 && make_locked_system "$@") 9>"$1.lock"; }
make_locked_system() {
	local system=$1 codename=$2 new=$1.new log=$logs/system-$2.log mirror; shift 2
	[ "$(cat "$system/complete" 2>/dev/null)" != "$codename $*" ] || return 0
	[ "$(id -u)" -eq 0 ] && unmounted true 2>/dev/null || { echo "that needs root and CAP_SYS_ADMIN"; return 1; }
	mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(COMPONENT)' 'Identifier: Packages' 2>/dev/null |
		awk '$2 == "Debian" && $3 == "main" {print $1; exit}')
	[ -n "$mirror" ] || { echo "apt names no mirror of Debian"; return 1; }
	(packages debootstrap) >/dev/null 2>&1 || { echo "debootstrap cannot be installed (build/log/apt.log)"; return 1; }
	{
		if [ ! -e "$system/complete" ]; then
			rm -rf --one-file-system "$new" "$system"
			unmounted debootstrap --variant=minbase "$codename" "$new" "$mirror" &&
				printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d" && chmod 755 "$new/usr/sbin/policy-rc.d" && mv "$new" "$system" &&
				apt-config dump | grep -i '^Acquire::.*Proxy' >"$system/etc/apt/apt.conf.d/proxy"
		fi
		rm -f "$system/complete"
		in_system "$system" apt-get update && in_system "$system" apt-get install -y --no-install-recommends "$@" &&
			rm -rf "$system"/var/cache/apt/*.bin "$system"/var/cache/apt/archives/*.deb && echo "$codename $*" >"$system/complete"
	} >"$log" 2>&1 </dev/null || { echo "debootstrap failed (${log#"$top/"})"; return 1; }
}
make_trixie() { make_system "$trixie_system" trixie $trixie_packages; }

# ---- Debian packages: build/deb/12 and build/deb/13 ----
release() { (. /etc/os-release && echo "$VERSION_ID"); }

# Builds them for this machine's release and, as root, for Debian 13.
build_debs() {
	local why one=0 other=0
	say "building the Debian packages (build/log/deb-*.log)"
	etc/debian/build "$build/deb/$(release)" >"$logs/deb-$(release).log" 2>&1 &
	if [ "$(release)" != 13 ]; then
		if why=$(make_trixie); then
			in_system "$trixie_system" "$top/etc/debian/build" "$build/deb/13" >"$logs/deb-13.log" 2>&1 || other=$?
		else
			say "no packages for Debian 13: $why"
		fi
	fi
	wait $! || one=$?
	[ $one -eq 0 ] && [ $other -eq 0 ] || { tail -n 20 "$logs"/deb-*.log >&2; return 1; }
}

# A fresh system of each release that has packages, build/debian-12 and build/debian-13, with what these need from the mirror ready in apt's cache.
fresh_systems() {
	local folder why
	for folder in "$build"/deb/1?; do
		why=$(make_system "$build/debian-${folder##*/}" "$(sed -n 's/^Distribution: //p' "$folder"/*.changes)" ca-certificates) ||
			{ echo "no fresh Debian ${folder##*/}: $why"; continue; }
		in_system "$build/debian-${folder##*/}" apt-get install -y --no-install-recommends --download-only "$folder"/skymon*.deb
	done
}
