#!/usr/bin/env bash
# Times koshu beside the classic plugins and prints the table of benches/README.md.
# Needs: hyperfine, python3, nginx with its echo module (libnginx-mod-http-echo), nsd, openssl, and Debian's monitoring-plugins-basic, -standard and -contrib.
# Usage: benches/run.sh [BINARY]     (default: the static binary of the profile dist)
set -euo pipefail
cd "$(dirname "$0")/.."
koshu=$(realpath "${1:-target/x86_64-unknown-linux-musl/dist/koshu}")
plugins=/usr/lib/nagios/plugins
export PATH="$PATH:/usr/sbin"
at=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait "${pids[@]}" 2>/dev/null; rm -rf "$at"' EXIT
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

echo=/usr/lib/nginx/modules/ngx_http_echo_module.so
http=$(port) https=$(port) silence=$(port) dns=$(port)
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -days 90 \
  -keyout "$at/key.pem" -out "$at/cert.pem" 2>/dev/null
cat > "$at/nginx.conf" <<END
load_module $echo;
daemon off; pid $at/pid; error_log $at/log; worker_processes 1; worker_rlimit_nofile 32768; events { worker_connections 16384; }
http { access_log off; client_body_temp_path $at/b; proxy_temp_path $at/p; fastcgi_temp_path $at/f;
  uwsgi_temp_path $at/u; scgi_temp_path $at/s;
  server { listen 127.0.0.1:$http backlog=4096; listen 127.0.0.1:$https ssl backlog=4096;
    ssl_certificate $at/cert.pem; ssl_certificate_key $at/key.pem; location / { return 200 hello; }
    location /0.2/ { echo_sleep 0.2; echo ok; } location /0.5/ { echo_sleep 0.5; echo ok; } } }
END
printf '$ORIGIN bench.lab.\n$TTL 60\n@ IN SOA a b 1 60 60 60 60\n@ IN NS a\na IN A 127.0.0.1\nwww IN A 192.0.2.1\n' > "$at/zone"
# check_dns asks port 53 alone, which only root can serve.
also=""; [ "$(id -u)" = 0 ] && also=" ip-address: 127.0.0.9@53"
cat > "$at/nsd.conf" <<END
server:
 ip-address: 127.0.0.1@$dns
$also
 zonesdir: "$at"
 database: ""
 pidfile: "$at/nsd.pid"
 xfrdfile: "$at/xfrd"
 zonelistfile: "$at/list"
 logfile: "$at/nsd.log"
 username: ""
 chroot: ""
remote-control:
 control-enable: no
zone:
 name: bench.lab
 zonefile: zone
END
nginx -p "$at" -c "$at/nginx.conf" >/dev/null 2>&1 & pids+=($!)
nsd -d -c "$at/nsd.conf" >/dev/null 2>&1 & pids+=($!)
python3 benches/silence.py "$silence" & pids+=($!)
sleep 1

list() { # COUNT URL KEYS → a list of so many http checks
  python3 - "$@" > "$at/$1-${2//[^a-z0-9]/}.toml" <<'END'
import sys
count, url, keys = int(sys.argv[1]), sys.argv[2], sys.argv[3]
for number in range(count):
    print(f"[[check]]\nname = 'check {number}'\ntype = 'http'\nurl = '{url}{number}'\n{keys}")
END
  echo "$at/$1-${2//[^a-z0-9]/}.toml"
}

row() { # WHAT BOUND OURS THEIRS
  hyperfine -N -i --warmup 5 --runs "${RUNS:-100}" --export-json "$at/r.json" "$3" "$4" >/dev/null 2>&1
  python3 - "$1" "$2" "$at/r.json" <<'END'
import json, sys
ours, theirs = json.load(open(sys.argv[3]))["results"]
cpu = lambda it: it["user"] + it["system"]
ratio = ours["median"] / theirs["median"]
print(f"| {sys.argv[1]} | {sys.argv[2]} | {ratio:.2f} | {cpu(ours) / cpu(theirs):.2f} | {ours['median'] * 1e3:.2f} ms | {theirs['median'] * 1e3:.2f} ms |")
END
}

alone() { # WHAT BOUND COMMAND…
  local what=$1 bound=$2; shift 2
  /usr/bin/time -o "$at/t" -f '%e %U %S %M' "$@" >/dev/null 2>&1 || true
  tail -n 1 "$at/t" | while read -r wall user sys rss; do
    echo "| $what | $bound | $wall s | $(python3 -c "print(round($user + $sys, 2))") s | $((rss / 1024)) MiB |"
  done
}

lsb=$(. /etc/os-release; echo "$PRETTY_NAME")
echo "$("$koshu" --version), $(stat -c %s "$koshu") bytes; $lsb, $(nproc) cores, $(ls -d /proc/[0-9]* | wc -l) processes"
echo
echo "| what | bound (wall) | wall ÷ peer | CPU ÷ peer | koshu, median | peer, median |"
echo "|---|---|---|---|---|---|"
row '`--version` beside check_dummy' '1.0' "$koshu --version" "$plugins/check_dummy 0"
row '`tcp` beside check_tcp' '1.1' "$koshu tcp 127.0.0.1:$http" "$plugins/check_tcp -H 127.0.0.1 -p $http"
row '`http` beside check_http' '1.1' "$koshu http http://127.0.0.1:$http/" "$plugins/check_http -H 127.0.0.1 -p $http"
row '`http` with TLS beside check_http -S' '1.1' "$koshu http https://127.0.0.1:$https/ ca=$at/cert.pem" "$plugins/check_http -H 127.0.0.1 -p $https -S"
row '`cert` beside check_http -C' '1.2' "$koshu cert 127.0.0.1:$https ca=$at/cert.pem" "$plugins/check_http -H 127.0.0.1 -p $https -S -C 30"
RUNS=10 row '`cert` beside check_ssl_cert' '0.1' "$koshu cert 127.0.0.1:$https ca=$at/cert.pem" "$plugins/check_ssl_cert -H 127.0.0.1 -p $https -r $at/cert.pem --ignore-sct --ignore-ocsp --temp $at"
row '`disk /` beside check_disk' '1.5' "$koshu disk / used=98%,99%" "$plugins/check_disk -w 2% -c 1% -p /"
row '`dns` through one server beside check_dig' '0.2' "$koshu dns www.bench.lab via=127.0.0.1:$dns record=A" "$plugins/check_dig -H 127.0.0.1 -p $dns -l www.bench.lab"
[ -z "$also" ] || RUNS=30 row '`dns` through one server beside check_dns' '0.2' "$koshu dns www.bench.lab via=127.0.0.9 expect=192.0.2.1" "$plugins/check_dns -H www.bench.lab -s 127.0.0.9 -a 192.0.2.1"
row '`process` beside check_procs' '0.3' "$koshu process match=nginx" "$plugins/check_procs -C nginx -c 1:"
for _ in $(seq 2000); do sleep 600 & done; sleepers=$(jobs -p | tail -n 2000)
RUNS=20 row '`process` at 2,000 processes' '0.3' "$koshu process match=nginx" "$plugins/check_procs -C nginx -c 1:"
kill $sleepers; wait $sleepers 2>/dev/null || true
row '`load` beside check_load' '1.1' "$koshu load load1=99,999" "$plugins/check_load -w 99 -c 999"
row '`memory` beside check_swap' '1.5' "$koshu memory available=1%," "$plugins/check_swap -w 1% -c 1%"
row '`users` beside check_users' '1.5' "$koshu users count=~:99," "$plugins/check_users -w 99 -c 999"
row '`file` beside check_file_age' '0.2' "$koshu file /etc/passwd age=9999d," "$plugins/check_file_age -w 999999999 -c 999999999 -f /etc/passwd"
row '`ping` beside check_ping' '1.1' "$koshu ping 127.0.0.1 count=1" "$plugins/check_ping -H 127.0.0.1 -w 100,20% -c 500,60% -p 1"
printf "[[check]]\nname = 'a'\ntype = 'users'\n" > "$at/users.toml"
for number in $(seq 1000); do printf "[[check]]\nname = 'check %s'\ntype = 'users'\n" "$number"; done > "$at/thousand.toml"
row 'history on beside off, one check' '+2 ms' "$koshu run -c $at/users.toml --state $at/history.db" "$koshu run -c $at/users.toml --state none"
row 'history on beside off, 1,000 checks' '+20 ms' "$koshu run -c $at/thousand.toml --state $at/thousand.db" "$koshu run -c $at/thousand.toml --state none"
for count in 50 200; do
  for number in $(seq $count); do
    printf "[[check]]\nname = 'dummy %s'\ntype = 'plugin'\ncommand = ['%s', '0', 'fine']\n" "$number" "$plugins/check_dummy"
  done > "$at/dummies-$count.toml"
  seq $count > "$at/count"
  RUNS=30 row "$count wrapped check_dummy beside xargs -P10" '1.0' "$koshu run --state none -c $at/dummies-$count.toml" "xargs -a $at/count -P 10 -I{} $plugins/check_dummy 0 fine"
done
fast=$(list 1000 "http://127.0.0.1:$http/" "")
seq 1000 > "$at/thousand"
RUNS=5 row '1,000 fast pages beside xargs -P10 check_http' '0.5' "$koshu run -c $fast" "xargs -a $at/thousand -P 10 -I{} $plugins/check_http -H 127.0.0.1 -p $http -u /{}"
secure=$(list 200 "https://127.0.0.1:$https/" "ca = '$at/cert.pem'")
seq 200 > "$at/twohundred"
RUNS=5 row '200 pages with TLS beside xargs -P10 check_http -S' 'CPU 0.5' "$koshu run -c $secure" "xargs -a $at/twohundred -P 10 -I{} $plugins/check_http -H 127.0.0.1 -p $https -S -u /{}"
echo
echo "| what | bound | wall | CPU | peak memory |"
echo "|---|---|---|---|---|"
python3 - > "$at/local.toml" <<'END'
kinds = ["disk'\npath = '/", "process'\nmatch = 'nginx", "load", "memory", "uptime", "users",
         "file'\npath = '/etc/passwd", "mount'\npath = '/proc", "port'\nforbid = '23", "process'\nargs = 'nginx"]
for number in range(50):
    print(f"[[check]]\nname = 'check {number}'\ntype = '{kinds[number % 10]}'")
END
alone '50 local checks' '10 ms' "$koshu" run --state none -c "$at/local.toml"
alone '20 endpoints that never answer, 2 s' '2.2 s' "$koshu" run -c "$(list 20 "http://127.0.0.1:$silence/" "timeout = '2s'")"
alone '1,000 endpoints that never answer, 2 s' '2.6 s' "$koshu" run -c "$(list 1000 "http://127.0.0.1:$silence/" "timeout = '2s'")"
alone '200 pages of 0.5 s' '0.65 s' "$koshu" run -c "$(list 200 "http://127.0.0.1:$http/0.5/" "")"
mkdir "$at/dns"
walk=$(port)
benches/zones.sh "$at/dns" "$walk" > "$at/zones.toml"
head -n 6 "$at/zones.toml" > "$at/one.toml"
alone 'one zone with 3 servers, walked' '60 ms' "$koshu" run -c "$at/one.toml"
alone '500 zones with 3 servers each, walked' '5 s' "$koshu" run -c "$at/zones.toml"
for pid in "$at"/dns/*.pid; do kill "$(cat "$pid")"; done
alone '10,000 pages of 0.2 s' '3 s, 192 MiB' "$koshu" run -c "$(list 10000 "http://127.0.0.1:$http/0.2/" "")"
alone '1,000 fast pages' '24 MiB' "$koshu" run -c "$fast"
alone '100 fast pages' 'linear' "$koshu" run -c "$(list 100 "http://127.0.0.1:$http/" "")"
alone '10,000 fast pages' 'linear' "$koshu" run -c "$(list 10000 "http://127.0.0.1:$http/" "")"
alone 'load and validate 10,000 checks' '0.1 s' "$koshu" validate -c "$(list 10000 "http://127.0.0.1:$http/" "time = '1s,3s'")"
many() { # COUNT TYPE KEYS → a list of so many checks
  for number in $(seq "$1"); do printf "[[check]]\nname = 'check %s'\ntype = '%s'\n%s\n" "$number" "$2" "$3"; done > "$at/many-$1-$2-${#3}.toml"
  echo "$at/many-$1-$2-${#3}.toml"
}
refused=$(port)
alone '10,000 fine checks' '-' "$koshu" run --state none -c "$(many 10000 tcp "host = '127.0.0.1:$http'")"
alone '10,000 refused checks' '1.5 × the CPU of fine ones' "$koshu" run --state none -c "$(many 10000 tcp "host = '127.0.0.1:$refused' # refused")"
alone '20,000 refused checks' 'linear' "$koshu" run --state none -c "$(many 20000 tcp "host = '127.0.0.1:$refused' # refused")"
alone 'one `tcp` check' '6 MiB' "$koshu" tcp "127.0.0.1:$http"
