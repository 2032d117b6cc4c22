//! Zabbix: a user parameter for its agent, and templates that discover the checks, for the agent and for trapper items.

use crate::export::{Engine, Order, Part};
use crate::model::uuid;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

pub const ENGINE: Engine = Engine {
    name: "zabbix",
    title: "Zabbix",
    parts: &[
        Part {
            name: "agent",
            file: "/etc/zabbix/zabbix_agentd.conf.d/koshu.conf, for agent 2 /etc/zabbix/zabbix_agent2.d/koshu.conf",
            comment: Some("#"),
            write: agent,
        },
        Part {
            name: "template",
            file: "for Configuration, Templates, Import",
            comment: None,
            write: |_| template(Source::Agent),
        },
        Part {
            name: "trapper",
            file: "for Configuration, Templates, Import",
            comment: None,
            write: |_| template(Source::Trapper),
        },
    ],
    set_up: &[
        "Agent: koshu export zabbix agent on the machine, koshu export zabbix template into the server, and link the template \"koshu by Zabbix agent\" to the host. One run of koshu fills all items: they are discovered from its JSON document and depend on one master item.",
        "Trapper: koshu export zabbix trapper, and cron runs koshu with --to zabbix://SERVER, with &host= where Zabbix calls this machine otherwise. koshu run --format zabbix | zabbix_sender -z SERVER -T -i - does the same through the stock sender, with its TLS and PSK. What is new is not taken until Zabbix has discovered it, and koshu says so once.",
    ],
    states: "koshu.state[LABEL] is 0 to 3 with a value map, koshu.text[LABEL] the text, koshu.metric[LABEL,METRIC] the numbers; the label koshu is the summary, whose triggers are on. Triggers of each check are there and off.",
    limits: "65,535 characters for each text. A JSON document of some hundred checks is larger than an old agent's answer may be (512 kB): use the trapper then.",
    timeouts: "An agent before 7.0 has Timeout=3 for everything: the user parameter ends after 2.5 s and names what is late. Raise both for slow checks. nodata() tells that nothing came for 10 minutes.",
    security: "The agent runs koshu as the user zabbix, without parameters from the server. Set trapper_hosts of the items to the addresses that may send.",
    proof: "Tried with Zabbix 6.0: agent, agent 2, zabbix_sender, and a server with PostgreSQL into which both templates were imported.",
};

/// What the server takes values from.
#[derive(Clone, Copy, PartialEq)]
enum Source {
    Agent,
    Trapper,
}

const DOCUMENT: &str = "koshu.document";

fn agent(order: &Order) -> String {
    let line = order.all(&["--format", "json", "--deadline", "2500ms"]);
    format!("UserParameter={DOCUMENT},{line}\n")
}

/// A UUID of version 4 in form, always the same for the same thing, so that a second import changes nothing.
fn stable(of: &str) -> String {
    let hash = digest(&SHA256, format!("koshu {of}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    uuid::digits(bytes)
}

fn template(source: Source) -> String {
    let (name, about) = match source {
        Source::Agent => (
            "koshu by Zabbix agent",
            "Results of koshu, which an agent runs once for all items.",
        ),
        Source::Trapper => (
            "koshu by Zabbix trapper",
            "Results of koshu, which sends them by itself.",
        ),
    };
    let items = Items { source, name };
    let mut all = vec![
        items.item(
            "koshu.state[koshu]",
            "koshu: state",
            "$.state",
            items.state(),
        ),
        items.item("koshu.text[koshu]", "koshu: text", "$.summary", text()),
    ];
    all[0]["triggers"] = json!(items.triggers());
    if source == Source::Agent {
        all.insert(
            0,
            json!({
                "uuid": items.uuid(DOCUMENT),
                "name": "koshu: document",
                "key": DOCUMENT,
                "delay": "1m",
                "history": "0",
                "trends": "0",
                "value_type": "TEXT",
            }),
        );
    }
    let group = "Templates/Applications";
    let document = json!({
        "zabbix_export": {
            "version": "6.0",
            "groups": [{ "uuid": GROUP, "name": group }],
            "templates": [{
                "uuid": items.uuid("template"),
                "template": name,
                "name": name,
                "description": about,
                "groups": [{ "name": group }],
                "items": all,
                "discovery_rules": [items.checks(), items.metrics()],
                "valuemaps": [{
                    "uuid": items.uuid("valuemap"),
                    "name": "koshu state",
                    "mappings": [
                        { "value": "0", "newvalue": "OK" },
                        { "value": "1", "newvalue": "WARNING" },
                        { "value": "2", "newvalue": "CRITICAL" },
                        { "value": "3", "newvalue": "UNKNOWN" },
                    ],
                }],
            }],
        },
    });
    format!("{document:#}\n")
}

/// The group Templates/Applications as Zabbix itself brings it.
const GROUP: &str = "a571c0d144b14fd4a87a9d9b2aa9fcd6";

fn text() -> Value {
    json!({ "value_type": "TEXT", "trends": "0" })
}

/// Makes the items of one template.
struct Items {
    source: Source,
    name: &'static str,
}

impl Items {
    fn uuid(&self, of: &str) -> String {
        stable(&format!("{} {of}", self.name))
    }

    fn state(&self) -> Value {
        json!({ "valuemap": { "name": "koshu state" } })
    }

    /// An item that gets its value from the document, or is sent it.
    fn item(&self, key: &str, name: &str, path: &str, more: Value) -> Value {
        let mut item = json!({
            "uuid": self.uuid(key),
            "name": name,
            "type": if self.source == Source::Agent { "DEPENDENT" } else { "TRAP" },
            "key": key,
            "delay": "0",
        });
        if self.source == Source::Agent {
            item["preprocessing"] = json!([{ "type": "JSONPATH", "parameters": [path] }]);
            item["master_item"] = json!({ "key": DOCUMENT });
        }
        if let (Value::Object(item), Value::Object(more)) = (&mut item, more) {
            item.extend(more);
        }
        item
    }

    fn triggers(&self) -> Vec<Value> {
        let trigger = |expression: String, name: &str, priority: &str| {
            json!({
                "uuid": self.uuid(name),
                "expression": expression,
                "name": name,
                "priority": priority,
            })
        };
        let key = format!("/{}/koshu.state[koshu]", self.name);
        let is = |code: u8| format!("last({key})={code}");
        vec![
            trigger(is(1), "koshu: WARNING", "WARNING"),
            trigger(is(2), "koshu: CRITICAL", "HIGH"),
            trigger(is(3), "koshu: UNKNOWN", "AVERAGE"),
            trigger(
                format!("nodata({key},10m)=1"),
                "koshu: no results for 10 minutes",
                "AVERAGE",
            ),
        ]
    }

    fn rule(&self, key: &str, name: &str, preprocessing: Value, prototypes: Vec<Value>) -> Value {
        let mut rule = json!({
            "uuid": self.uuid(key),
            "name": name,
            "type": if self.source == Source::Agent { "DEPENDENT" } else { "TRAP" },
            "key": key,
            "delay": "0",
            "item_prototypes": prototypes,
        });
        if self.source == Source::Agent {
            rule["preprocessing"] = json!([preprocessing]);
            rule["master_item"] = json!({ "key": DOCUMENT });
        }
        rule
    }

    fn checks(&self) -> Value {
        let path = |field: &str| format!("$.checks[?(@.label=='{{#LABEL}}')].{field}.first()");
        let mut state = self.item(
            "koshu.state[{#LABEL}]",
            "{#NAME}: state",
            &path("state"),
            self.state(),
        );
        // The summary is what should wake somebody; these are for who wants each check.
        state["trigger_prototypes"] = json!([{
            "uuid": self.uuid("trigger"),
            "expression": format!("last(/{}/koshu.state[{{#LABEL}}])=2", self.name),
            "name": "{#NAME}: CRITICAL",
            "priority": "HIGH",
            "status": "DISABLED",
        }]);
        let summary = self.item(
            "koshu.text[{#LABEL}]",
            "{#NAME}: text",
            &path("summary"),
            text(),
        );
        let preprocessing = json!({ "type": "JSONPATH", "parameters": ["$.checks"] });
        let mut rule = self.rule(
            "koshu.checks",
            "koshu: checks",
            preprocessing,
            vec![state, summary],
        );
        if self.source == Source::Agent {
            rule["lld_macro_paths"] = json!([
                { "lld_macro": "{#LABEL}", "path": "$.label" },
                { "lld_macro": "{#NAME}", "path": "$.name" },
                { "lld_macro": "{#TYPE}", "path": "$.type" },
            ]);
        }
        rule
    }

    fn metrics(&self) -> Value {
        let path = "$.checks[?(@.label=='{#LABEL}')].perf['{#METRIC}'].value.first()";
        let more = json!({ "value_type": "FLOAT", "units": "{#UNIT}" });
        let item = self.item(
            "koshu.metric[{#LABEL},{#METRIC}]",
            "{#NAME}: {#METRIC}",
            path,
            more,
        );
        let script = "var found = [];\nJSON.parse(value).checks.forEach(function (check) {\n  Object.keys(check.perf).forEach(function (label) {\n    found.push({ '{#LABEL}': check.label, '{#NAME}': check.name, '{#METRIC}': label, '{#UNIT}': check.perf[label].unit });\n  });\n});\nreturn JSON.stringify(found);";
        let preprocessing = json!({ "type": "JAVASCRIPT", "parameters": [script] });
        self.rule("koshu.metrics", "koshu: metrics", preprocessing, vec![item])
    }
}
