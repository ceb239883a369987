# SPDX-License-Identifier: Apache-2.0
# Systems of other Debian releases, in folders of build/. Functions of ./dev, which sources this file: the row trixie runs in one of them.

# Debian 13: made once, for the row trixie.
trixie_system=$build/trixie-system
trixie_packages="$build_packages libcunit1-dev g++ binutils mandoc curl jq openssl procps util-linux systemd postgresql-17 redis-server prometheus
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

# Makes the system, or says in one line why it cannot be had. The mirror is the one that apt uses here.
make_trixie() {
	local new=$trixie_system.new mirror
	[ "$(cat "$trixie_system/complete" 2>/dev/null)" != "$trixie_packages" ] || return 0
	[ "$(id -u)" -eq 0 ] && unmounted true 2>/dev/null || { echo "that needs root and CAP_SYS_ADMIN"; return 1; }
	mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(COMPONENT)' 'Identifier: Packages' 2>/dev/null |
		awk '$2 == "Debian" && $3 == "main" {print $1; exit}')
	[ -n "$mirror" ] || { echo "apt names no mirror of Debian"; return 1; }
	(packages debootstrap) >/dev/null 2>&1 || { echo "debootstrap cannot be installed (build/log/apt.log)"; return 1; }
	rm -rf --one-file-system "$new" "$trixie_system"
	{
		unmounted debootstrap --variant=minbase trixie "$new" "$mirror" &&
			printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d" && chmod 755 "$new/usr/sbin/policy-rc.d" &&
			apt-config dump | grep -i '^Acquire::.*Proxy' >"$new/etc/apt/apt.conf.d/proxy"
		in_system "$new" apt-get update && in_system "$new" apt-get install -y --no-install-recommends $trixie_packages &&
			rm -rf "$new"/var/cache/apt/*.bin "$new"/var/cache/apt/archives/*.deb &&
			echo "$trixie_packages" >"$new/complete" && mv "$new" "$trixie_system"
	} >"$logs/debootstrap.log" 2>&1 </dev/null || { echo "debootstrap failed (build/log/debootstrap.log)"; return 1; }
}
