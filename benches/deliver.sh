#!/usr/bin/env bash
# Times what koshu delivers, exports and discovers beside the engines' own clients, and prints a table for benches/README.md.
# Needs: hyperfine, python3, curl, icinga2, zabbix_sender.
# Usage: benches/deliver.sh [BINARY]     (default: the static release binary)
set -euo pipefail
cd "$(dirname "$0")/.."
koshu=$(realpath "${1:-target/x86_64-unknown-linux-musl/release/koshu}")
export PATH="$PATH:/usr/sbin" STATE_DIRECTORY=/dev/null/no-history
at=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait "${pids[@]}" 2>/dev/null; rm -rf "$at"' EXIT
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
icinga=$(port) trapper=$(port)

# A thousand checks that cost nothing.
for number in $(seq 999); do printf '[[check]]\nname = "c%s"\ntype = "file"\npath = "/"\n' "$number"; done > "$at/list.toml"

# A real Icinga with a service for each.
folders=(); for it in DataDir:. LogDir:log CacheDir:cache SpoolDir:spool InitRunDir:run ConfigDir:etc; do
  mkdir -p "$at/i/${it#*:}"; folders+=(-D "${it%%:*}=$at/i/${it#*:}"); done
folders+=(-D RunAsUser="$(id -un)" -D RunAsGroup="$(id -gn)")
mkdir -p "$at/i/certs"
{ icinga2 pki new-ca "${folders[@]}"
  icinga2 pki new-cert "${folders[@]}" --cn localhost --key "$at/i/certs/localhost.key" --csr "$at/i/csr"
  icinga2 pki sign-csr "${folders[@]}" --csr "$at/i/csr" --cert "$at/i/certs/localhost.crt"; } >/dev/null
cp "$at/i/ca/ca.crt" "$at/i/certs/"
cat > "$at/icinga2.conf" <<END
const NodeName = "localhost"
const ZoneName = "localhost"
object Endpoint "localhost" { }
object Zone "localhost" { endpoints = [ "localhost" ] }
object IcingaApplication "app" { }
object ApiListener "api" { bind_host = "127.0.0.1", bind_port = $icinga }
object CheckCommand "up" { command = [ "/bin/true" ] }
object Host "box" { check_command = "up" }
$("$koshu" export icinga2 passive --host box -c "$at/list.toml" | sed 's/CHANGE ME/secret/')
END
icinga2 daemon -c "$at/icinga2.conf" "${folders[@]}" >/dev/null 2>&1 & pids+=($!)

# A trapper that takes everything, one connection after another, for both senders.
python3 - "$trapper" <<'END' & pids+=($!)
import json, socket, struct, sys
door = socket.socket(); door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
door.bind(("127.0.0.1", int(sys.argv[1]))); door.listen(64)
def read(stream, count):
    data = b""
    while len(data) < count and (more := stream.recv(65536)):
        data += more
    return data
while True:
    stream, _ = door.accept()
    head = read(stream, 13)
    if len(head) < 13:
        continue
    length = struct.unpack("<Q", head[5:13])[0]
    body = head[13:] + read(stream, length - len(head[13:])) if length > len(head) - 13 else head[13:]
    count = len(json.loads(body[:length])["data"])
    said = json.dumps({"response": "success", "info": f"processed: {count}; failed: 0; total: {count}; seconds spent: 0.000001"}).encode()
    stream.sendall(b"ZBXD\x01" + struct.pack("<Q", len(said)) + said)
    stream.close()
END
for it in "$icinga" "$trapper"; do for _ in $(seq 200); do (: > "/dev/tcp/127.0.0.1/$it") 2>/dev/null && break; sleep 0.1; done; done

run="$koshu run -c $at/list.toml --state none --host box"
export KOSHU_ICINGA2_PASSWORD=secret
mkdir "$at/spool"
ca=$at/i/certs/ca.crt

# What koshu says is right before it is timed.
$run --to "nagios:$at/spool" --to "icinga2+https://koshu@localhost:$icinga?ca=$ca&timeout=20s" --to "zabbix://127.0.0.1:$trapper" > "$at/said" || true
grep -q '^OK - 999' "$at/said" || { head -n 3 "$at/said"; exit 1; }
for it in "$at"/spool/*.ok; do cp "${it%.ok}" "$at/one"; done
[ "$(grep -c ^return_code=0 "$at/one")" = 1000 ]

# The same requests by curl over one connection, the same values by the stock sender.
for number in $(seq 999) ; do
  [ "$number" = 1 ] || echo next
  printf 'url = "https://localhost:%s/v1/actions/process-check-result?service=box!c%s"\n' "$icinga" "$number"
  printf 'user = "koshu:secret"\ncacert = "%s"\nheader = "Accept: application/json"\noutput = "/dev/null"\nsilent\n' "$ca"
  printf 'data = "{\\"exit_status\\":0,\\"plugin_output\\":\\"OK - fine\\",\\"performance_data\\":[\\"age=1s;;;0\\"]}"\n'
done > "$at/curl"
$run --format zabbix > "$at/values"

row() { # WHAT BOUND OURS THEIRS: the time that delivering adds to the run, beside the peer
  hyperfine -N -i --warmup 2 --runs "${RUNS:-15}" --export-json "$at/r.json" "$run" "$3" ${4:+"$4"} >/dev/null 2>&1
  python3 - "$1" "$2" "$at/r.json" <<'END'
import json, sys
alone, ours, *theirs = json.load(open(sys.argv[3]))["results"]
added = ours["median"] - alone["median"]
peer = f"{theirs[0]['median'] * 1e3:.0f} ms | {added / theirs[0]['median']:.2f}" if theirs else "- | -"
print(f"| {sys.argv[1]} | {sys.argv[2]} | {added * 1e3:.0f} ms | {peer} |")
END
}

echo '| what | bound | koshu, median | peer, median | koshu ÷ peer |'
echo '|---|---|---|---|---|'
row "1,000 results into Nagios' spool" "50 ms" "$run --to nagios:$at/spool"
row "1,000 results to Icinga's API over one connection, beside curl" "3 s" "$run --to icinga2+https://koshu@localhost:$icinga?ca=$ca&timeout=20s" "curl -K $at/curl"
row "1,000 results to a Zabbix trapper, beside zabbix_sender" "200 ms" "$run --to zabbix://127.0.0.1:$trapper" "zabbix_sender -z 127.0.0.1 -p $trapper -T -i $at/values"
hyperfine -N -i --warmup 2 --runs "${RUNS:-15}" --export-json "$at/r.json" "$koshu discover" >/dev/null 2>&1
python3 -c "
import json
it = json.load(open('$at/r.json'))['results'][0]
print(f\"| discover on this host | 300 ms | {it['median'] * 1e3:.0f} ms | - | - |\")"
