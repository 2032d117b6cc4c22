#!/usr/bin/env bash
# A root, a top-level domain and 500 zones on three servers each, on loopback; prints a list of 500 dns checks.
# Usage: benches/zones.sh FOLDER PORT     (what it starts is in FOLDER/*.pid)
set -euo pipefail
at=$1 port=$2 count=${COUNT:-500}
export PATH="$PATH:/usr/sbin"
soa='@ 300 IN SOA ns1 root 1 3600 900 1209600 300'

serve() { # NAME ADDRESS ZONE=FILE…
  local name=$1 address=$2; shift 2
  mkdir -p "$at/$name"
  {
    printf 'server:\n ip-address: %s@%s\n server-count: 1\n username: ""\n chroot: ""\n database: ""\n zonesdir: "%s"\n' "$address" "$port" "$at"
    printf ' pidfile: "%s/%s.pid"\n xfrdfile: "%s/%s/xfrd"\n xfrdir: "%s/%s"\n zonelistfile: "%s/%s/list"\n logfile: "%s/%s/log"\n' \
      "$at" "$name" "$at" "$name" "$at" "$name" "$at" "$name" "$at" "$name"
    printf 'remote-control:\n control-enable: no\n'
    for zone in "$@"; do printf 'zone:\n name: %s\n zonefile: %s\n' "${zone%%=*}" "${zone#*=}"; done
  } > "$at/$name.conf"
  nsd -c "$at/$name.conf"
}

{
  printf '$ORIGIN .\n@ 300 IN SOA a.root root 1 3600 900 1209600 300\n@ 300 IN NS a.root.\na.root. 300 IN A 127.0.0.53\n'
  printf 'bench. 300 IN NS a.nic.bench.\nbench. 300 IN NS b.nic.bench.\na.nic.bench. 300 IN A 127.0.0.55\nb.nic.bench. 300 IN A 127.0.0.56\n'
} > "$at/root.zone"
printf '. 300 IN NS a.root.\na.root. 300 IN A 127.0.0.53\n' > "$at/root.hints"
{
  printf '$ORIGIN bench.\n%s\n@ 300 IN NS a.nic\n@ 300 IN NS b.nic\na.nic 300 IN A 127.0.0.55\nb.nic 300 IN A 127.0.0.56\n' "${soa/ns1/a.nic}"
  for n in $(seq "$count"); do
    for s in 1 2 3; do printf 'z%s 300 IN NS ns%s.z%s\nns%s.z%s 300 IN A 127.0.0.6%s\n' "$n" "$s" "$n" "$s" "$n" "$s"; done
  done
} > "$at/bench.zone"
{
  printf '%s\n' "$soa"
  for s in 1 2 3; do printf '@ 300 IN NS ns%s\nns%s 300 IN A 127.0.0.6%s\n' "$s" "$s" "$s"; done
  printf 'www 300 IN A 192.0.2.10\nwww 300 IN AAAA 2001:db8::10\n'
} > "$at/each.zone"
zones=(); for n in $(seq "$count"); do zones+=("z$n.bench=each.zone"); done
serve root 127.0.0.53 .=root.zone
serve a.nic 127.0.0.55 bench=bench.zone
serve b.nic 127.0.0.56 bench=bench.zone
for s in 1 2 3; do serve "ns$s" "127.0.0.6$s" "${zones[@]}"; done
sleep 4 # until all zones are loaded
for n in $(seq "$count"); do
  printf "[[check]]\nname = 'z%s'\ntype = 'dns'\nhost = 'www.z%s.bench'\nport = %s\nroot_hints = '%s/root.hints'\n" "$n" "$n" "$port" "$at"
done
