#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What doc/examples has for monitors: rules, dashboard and units against the metrics that there are; how many lines those are at most.
. "$(dirname "$0")/lib.sh"
need python3
examples=$(cd "$(dirname "$0")/../../doc/examples" && pwd)
cat "$MNT/metrics" >"$TESTDIR/metrics"

# Each metric that a rule, an alert or a panel asks for is there, or is recorded by a rule, or is node_exporter's.
cat >"$TESTDIR/names.py" <<'PY'
import json, re, sys, yaml
examples, metrics = sys.argv[1:]
there = set(re.findall(r"^# TYPE (\S+)", open(metrics).read(), re.M))
there |= {"segfs_namespace_container", "node_textfile_mtime_seconds"}  # where there are containers
groups = yaml.safe_load(open(f"{examples}/prometheus/segfs.rules.yml"))["groups"]
rules = [rule for group in groups for rule in group["rules"]]
there |= {rule["record"] for rule in rules if "record" in rule}
board = json.load(open(f"{examples}/grafana/segfs.json"))
panels = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
for expr in [rule["expr"] for rule in rules] + panels:
    for name in re.findall(r"\b(?:segfs|node|instance)\w*(?::\w+)*\b(?=[{\[ )]|$)", re.sub(r"\((?:instance|namespace|pod|, )+\)", "", expr)):
        if name not in there and name not in ("instance", "namespace"):
            print(f"{name} in {expr}")
for wanted in ("title", "uid", "schemaVersion", "panels", "templating", "time"):
    if wanted not in board:
        print(f"the dashboard has no {wanted}")
ids = [panel["id"] for panel in board["panels"]]
if len(ids) != len(set(ids)) or any(panel["type"] != "timeseries" or not panel["targets"] or set(panel["gridPos"]) != set("xywh") for panel in board["panels"]):
    print("panels")
spots = [(p["gridPos"]["x"] + i, p["gridPos"]["y"] + j) for p in board["panels"] for i in range(p["gridPos"]["w"]) for j in range(p["gridPos"]["h"])]
if len(spots) != len(set(spots)) or max(x for x, y in spots) > 23:
    print("panels lie over each other")
with open(sys.argv[2] + ".panels.yml", "w") as out:  # for promtool, which knows the language
    yaml.safe_dump({"groups": [{"name": "panels", "rules": [{"record": f"panel_{n}", "expr": expr.replace("$instance", ".*")} for n, expr in enumerate(panels)]}]}, out)
for alert in ("SegfsLeakGrows", "SegfsShmmniNearLimit", "SegfsShmallNearLimit", "SegfsDevShmNearlyFull", "SegfsUnlinkedGrows"):
    if alert not in {rule.get("alert") for rule in rules}:
        print(f"no alert {alert}")
PY
if python3 -c 'import yaml' 2>/dev/null; then
	is "$(python3 "$TESTDIR/names.py" "$examples" "$TESTDIR/metrics" 2>&1)" "" "rules and dashboard ask for what there is"
	is "$(python3 - "$examples/kubernetes/segfs.yaml" <<-'PY' 2>&1
		import sys, yaml
		space, daemons = yaml.safe_load_all(open(sys.argv[1]))
		assert (space["apiVersion"], space["kind"]) == ("v1", "Namespace")
		assert (daemons["apiVersion"], daemons["kind"]) == ("apps/v1", "DaemonSet")
		assert daemons["metadata"]["namespace"] == space["metadata"]["name"]
		template = daemons["spec"]["template"]
		assert daemons["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
		pod = template["spec"]
		volumes = {volume["name"] for volume in pod["volumes"]}
		assert pod["hostPID"] and pod["hostIPC"]
		for container in pod["containers"]:
		    assert container["name"] and container["image"] and all(isinstance(word, str) for word in container["command"])
		    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
		ports = [port["containerPort"] for container in pod["containers"] for port in container.get("ports", [])]
		assert ports == [int(template["metadata"]["annotations"]["prometheus.io/port"])]
		print("ok")
	PY
	)" ok "the DaemonSet has what one has to have"
else
	skip "rules, dashboard and DaemonSet" "no python3-yaml here"
fi
if command -v promtool >/dev/null; then
	ok "the rules are right" promtool check rules "$examples/prometheus/segfs.rules.yml"
	ok "and do what their test says" promtool test rules "$examples/prometheus/segfs.rules.test.yml"
	[ ! -e "$TESTDIR/metrics.panels.yml" ] || ok "the dashboard's questions can be asked" promtool check rules "$TESTDIR/metrics.panels.yml"
	sed 's/> 0\.9/> 1.9/' "$examples/prometheus/segfs.rules.yml" >"$TESTDIR/segfs.rules.yml"
	cp "$examples/prometheus/segfs.rules.test.yml" "$TESTDIR"
	fails "the rules' test sees a wrong one" promtool test rules "$TESTDIR/segfs.rules.test.yml"
else
	skip "the rules' own test" "no promtool here (Debian: prometheus, which also starts one)"
fi

# What the units run, here.
run_of() { sed -n 's/^ExecStart=//p' "$examples/$1" | sed "s|/run/segfs|$MNT|g; s|/var/lib/prometheus/node-exporter|$TESTDIR|; s/[$][$]/$/g; s/%%/%/g; s/\\\\\\\\/\\\\/g"; }
ok "segfs-metrics.service writes" sh -c "$(run_of segfs-metrics.service)"
ok "metrics, all of them" grep -qx '# EOF' "$TESTDIR/segfs.prom"
is "$(find "$TESTDIR" -name 'segfs.prom*' | wc -l)" 1 "one whole file"
printf 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n' | sh -c "$(run_of segfs-scrape@.service)" >"$TESTDIR/answer"
is "$(head -n 1 "$TESTDIR/answer" | tr -d '\r')" "HTTP/1.0 200 OK" "segfs-scrape@.service answers"
is "$(sed '1,/^\r$/d' "$TESTDIR/answer" | grep -c '^segfs_segments{')" "$(grep -c '^segfs_segments{' "$TESTDIR/metrics")" "with the metrics"
if command -v systemd-analyze >/dev/null; then
	mkdir "$TESTDIR/units"
	cp "$examples"/segfs-* "$TESTDIR/units"
	printf '[Service]\nExecStart=/bin/true\n' >"$TESTDIR/units/segfs.service"
	is "$(cd "$TESTDIR/units" && SYSTEMD_UNIT_PATH=$TESTDIR/units: systemd-analyze verify ./segfs-metrics.timer ./segfs-metrics.service ./segfs-scrape.socket 2>&1 | grep segfs-)" "" "systemd-analyze verify is quiet"
else
	skip "systemd-analyze verify" "no systemd here"
fi

# However many namespaces there are, the lines are bounded: 100 of them by themselves, the rest as one.
many=130
for ((i = 0; i < many; i++)); do
	unshare --ipc sh -c '"$0" run "shmget 0 $1 0600" >/dev/null && exec sleep 1000' "$SHMTOOL" $((4096 * (i + 1))) &
done
all_there() { [ "$(find "$MNT/ns" -maxdepth 1 -name '[0-9]*' | wc -l)" -ge $many ] && [ "$(sed -n 's/^segfs_size_bytes{.*} //p' "$MNT/metrics" | awk '{ s += $1 } END { print s }')" -ge $((4096 * many * (many + 1) / 2)) ]; }
ok "$many namespaces" until_true 60 all_there
cat "$MNT/metrics" >"$TESTDIR/metrics"
is "$(grep -c '^segfs_segments{.*kind="sysv",verdict="in use",unlinked="false"' "$TESTDIR/metrics")" 102 "their own lines have the mount's and 100, the others together one"
ok "the others' segments are counted" test "$(sed -n 's/^segfs_segments{namespace="others",kind="sysv".*} //p' "$TESTDIR/metrics" | awk '{ s += $1 } END { print s }')" -eq $((many - 100))
le "$(sed -n 's/^segfs_size_bytes{namespace="others",kind="sysv".*} //p' "$TESTDIR/metrics" | awk '{ s += $1 } END { print s }')" $((4096 * (many - 100) * (many - 100 + 1))) "they are the small ones"
is "$(sed -n 's/^segfs_namespaces{.*} //p' "$TESTDIR/metrics")" $((many + 1)) "how many there are is said"
le "$(wc -l <"$TESTDIR/metrics")" 13000 "lines"
diag "$(wc -l <"$TESTDIR/metrics") lines, $(wc -c <"$TESTDIR/metrics") bytes"
# It reads the older format, in which the help of a counter is by its name with _total.
[ -z "$(command -v promtool)" ] || is "$(promtool check metrics <"$TESTDIR/metrics" 2>&1 | grep -v '^segfs_[a-z_]*_total no help text$')" "" "promtool finds nothing in those"
# shellcheck disable=SC2046 # numbers
kill $(jobs -p)
done_testing
