//! Destinations that fail in every way, and strict doubles of those of which there is no package, built from their
//! documented schemas.

use crate::koshu::{Lists, Said, command, said};
use crate::results::{self, EXPECTED};
use crate::server;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// A request as it came.
#[derive(Clone, Debug, Default)]
struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let found = self
            .headers
            .iter()
            .find(|it| it.0.eq_ignore_ascii_case(name));
        found.map_or("", |it| it.1.as_str())
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|it| panic!("{it}: {}", self.body))
    }
}

/// A server that keeps connections open, answers each request by `answer` with a status and a body, and remembers all.
struct Double {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    connections: Arc<Mutex<usize>>,
}

impl Double {
    fn new(answer: impl Fn(&Request) -> (u16, String) + Send + Sync + Clone + 'static) -> Double {
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let connections: Arc<Mutex<usize>> = Arc::default();
        let (all, count) = (seen.clone(), connections.clone());
        let address = server::serve(move |mut stream| {
            *count.lock().expect("a lock") += 1;
            while let Some(request) = read(&mut stream) {
                let (status, body) = answer(&request);
                all.lock().expect("a lock").push(request);
                let response = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                if stream.write_all(response.as_bytes()).is_err() {
                    return;
                }
            }
        });
        Double {
            address,
            seen,
            connections,
        }
    }

    fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("a lock").clone()
    }

    fn connections(&self) -> usize {
        *self.connections.lock().expect("a lock")
    }
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    let mut one = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut one).ok()?;
        head.push(one[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let mut request = Request {
        method: words.next()?.to_owned(),
        path: words.next()?.to_owned(),
        ..Request::default()
    };
    for line in lines {
        if let Some((name, value)) = line.split_once(": ") {
            request.headers.push((name.to_owned(), value.to_owned()));
        }
    }
    let length = request.header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).ok()?;
    Some(request)
}

/// Runs a list with one destination and one secret in the environment.
fn deliver(lists: &Lists, to: &str, secret: (&str, &str)) -> Said {
    said(
        command(&["run", "-c", &lists.file(), "--host", "box", "--to", to]).env(secret.0, secret.1),
    )
}

/// All of it was taken.
#[track_caller]
fn taken(said: &Said) {
    assert!(!said.out.contains("koshu-delivery"), "{}", said.out);
    said.is("CRITICAL");
}

/// What a run of one check that is fine says of its delivery.
#[track_caller]
fn told(to: &str, secret: (&str, &str)) -> String {
    let said = deliver(&fine(), to, secret);
    let text = said.is("WARNING");
    assert!(
        text.ends_with("; 1 OK"),
        "the check itself is as it was: {text}"
    );
    assert!(said.took < Duration::from_secs(4), "{:?}", said.took);
    assert!(!said.out.contains("s3cret"), "{}", said.out);
    text.strip_prefix("koshu-delivery: ")
        .expect("a delivery")
        .to_owned()
}

fn fine() -> Lists {
    Lists::new("[[check]]\nname = 'fine'\ntype = 'file'\npath = '/'\n")
}

const NONE: (&str, &str) = ("KOSHU_NOTHING", "");

#[test]
fn consul_has_every_state_and_knows_what_it_does_not_know() {
    let double = Double::new(|it| match it.path.contains("blind") {
        true => (404, "Unknown check ID \"blind\"".to_owned()),
        false => (200, String::new()),
    });
    let to = format!("consul-ttl+http://{}", double.address);
    let said = deliver(&results::lists(), &to, ("KOSHU_CONSUL_TTL_TOKEN", "s3cret"));
    assert!(
        said.is("CRITICAL")
            .contains("2 WARNING: soon, koshu-delivery"),
        "{}",
        said.out
    );
    let seen = double.seen();
    assert_eq!(seen.len(), 6);
    assert_eq!(double.connections(), 1, "one connection for all of them");
    for it in &seen {
        assert_eq!(
            (it.method.as_str(), it.header("x-consul-token")),
            ("PUT", "s3cret")
        );
        assert!(
            it.body.len() < 5000 && it.json()["Output"].is_string(),
            "{}",
            it.body
        );
    }
    for (it, word) in EXPECTED
        .iter()
        .zip(["passing", "warning", "critical", "critical"])
    {
        let path = format!("/v1/agent/check/update/{}", it.name);
        let found = seen.iter().find(|seen| seen.path == path);
        let body = found.unwrap_or_else(|| panic!("no {path}")).json();
        assert_eq!(body["Status"], word);
        assert!(
            body["Output"]
                .as_str()
                .is_some_and(|text| text.starts_with(it.text))
        );
    }
    let told = told(
        &format!(
            "consul-ttl+http://{}",
            Double::new(|_| (404, String::new())).address
        ),
        NONE,
    );
    assert!(
        told.contains(
            "2 of 2 results were refused, the first of them koshu: Consul knows no TTL check"
        ),
        "{told}"
    );
}

#[test]
fn sensu_gets_events_whose_perfdata_it_can_read() {
    let double = Double::new(|it| {
        let event = it.json();
        // The schema of core/v2: the name's letters, a status that is a number, one bar at most.
        let name = event["check"]["metadata"]["name"]
            .as_str()
            .unwrap_or_default();
        let good = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
            && event["check"]["status"].is_u64()
            && event["check"]["output"]
                .as_str()
                .is_some_and(|it| it.matches('|').count() <= 1);
        (if good { 202 } else { 400 }, String::new())
    });
    let to = format!("sensu+http://{}?ttl=10m", double.address);
    taken(&deliver(&results::lists(), &to, NONE));
    let seen = double.seen();
    let events: Vec<Value> = seen.iter().map(|it| it.json()["check"].clone()).collect();
    assert!(
        seen.iter()
            .all(|it| it.method == "POST" && it.path == "/events")
    );
    for it in &EXPECTED {
        let event = events
            .iter()
            .find(|event| event["metadata"]["name"] == it.name);
        let event = event.expect("an event");
        assert_eq!(event["status"], it.code);
        assert_eq!(event["ttl"], 600);
        let output = event["output"].as_str().unwrap_or_default();
        assert!(
            output.starts_with(it.text) && output.ends_with(it.perfdata),
            "{output}"
        );
    }
}

#[test]
fn stackstorm_gets_the_trigger_of_its_nagios_pack_for_what_has_changed() {
    let double = Double::new(|it| match it.header("st2-api-key") {
        "s3cret" => (202, "{}".to_owned()),
        _ => (401, "{\"faultstring\": \"Unauthorized\"}".to_owned()),
    });
    let to = format!("stackstorm+http://{}", double.address);
    let secret = ("KOSHU_STACKSTORM_TOKEN", "s3cret");
    taken(&deliver(&results::lists(), &to, secret));
    let seen = double.seen();
    assert_eq!(seen.len(), 6, "without history everything is news");
    assert!(seen.iter().all(|it| it.path == "/api/v1/webhooks/st2"));
    let body = seen[3].json();
    assert_eq!(body["trigger"], "nagios.service_state_change");
    let mut keys: Vec<&str> = body["payload"]
        .as_object()
        .expect("keys")
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "attempt",
            "event_id",
            "host",
            "msg",
            "service",
            "state",
            "state_id",
            "state_type"
        ]
    );
    assert_eq!(body["payload"]["service"], "broken");
    assert_eq!(body["payload"]["state"], "CRITICAL");
    assert_eq!(body["payload"]["state_id"], "2");
    let told = told(&to, ("KOSHU_STACKSTORM_TOKEN", "wrong"));
    assert!(told.contains("HTTP 401"), "{told}");
}

#[test]
fn only_what_has_changed_is_sent_and_again_when_it_was_not_taken() {
    let answers: Arc<Mutex<u16>> = Arc::new(Mutex::new(202));
    let status = answers.clone();
    let double = Double::new(move |_| (*status.lock().expect("a lock"), String::new()));
    let lists = Lists::new(
        "[[check]]\nname = 'a'\ntype = 'file'\npath = 'a'\n[[check]]\nname = 'b'\ntype = 'file'\npath = '/'\n",
    );
    let state = lists.path().join("state").display().to_string();
    let to = format!("sensu+http://{}?on=change", double.address);
    let run = || {
        let before = double.seen().len();
        let said = lists.run(&["--state", &state, "--to", &to]);
        let names: Vec<String> = double.seen()[before..]
            .iter()
            .map(|it| {
                it.json()["check"]["metadata"]["name"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect();
        (said, names)
    };
    assert_eq!(run().1, ["koshu", "a", "b"], "everything is new");
    assert!(run().1.is_empty(), "nothing has changed");
    lists.add("a", b"");
    assert_eq!(run().1, ["koshu", "a"], "one has");
    *answers.lock().expect("a lock") = 500;
    std::fs::remove_file(lists.path().join("a")).expect("a file");
    let (said, names) = run();
    assert_eq!(names, ["koshu", "a"]);
    assert!(said.out.contains("koshu-delivery: sensu"), "{}", said.out);
    *answers.lock().expect("a lock") = 202;
    let (said, names) = run();
    assert_eq!(
        names,
        ["koshu", "a", "b"],
        "what was not taken is sent again"
    );
    said.is("CRITICAL");
    let (_, names) = run();
    assert!(names.is_empty(), "{names:?}");
    let past = crate::koshu::koshu(&["history", "koshu-delivery", "--state", &state]).out;
    assert!(past.contains("WARNING") && past.contains("OK"), "{past}");
}

#[test]
fn healthchecks_hears_of_the_beginning_and_the_end_of_the_same_run() {
    let double = Double::new(|it| match it.path.starts_with("/abc-123/") {
        true => (200, "OK".to_owned()),
        false => (200, "OK (not found)".to_owned()),
    });
    let to = format!("healthchecks+http://{}", double.address);
    let secret = ("KOSHU_HEALTHCHECKS_TOKEN", "abc-123");
    taken(&deliver(&results::lists(), &to, secret));
    let seen = double.seen();
    let [start, end] = &seen[..] else {
        panic!("{seen:#?}");
    };
    let (path, run) = start.path.split_once("?rid=").expect("a run");
    assert_eq!(path, "/abc-123/start");
    assert_eq!(
        end.path.replace("%2D", "-"),
        format!("/abc-123/2?rid={}", run.replace("%2D", "-"))
    );
    assert_eq!(run.replace("%2D", "-").len(), 36);
    assert!(end.body.starts_with("CRITICAL - broken: no answer") && end.body.len() <= 10_000);
    // The exit code is the one that was asked for.
    let words = [
        "run",
        "soon",
        "-c",
        &results::lists().file(),
        "--exit",
        "fail-on=critical",
        "--to",
        &to,
    ]
    .map(str::to_owned);
    let lists = results::lists();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let file = lists.file();
    let words = [&words[..3], &[file.as_str()], &words[4..]].concat();
    said(command(&words).env(secret.0, secret.1));
    let last = double.seen().last().cloned().unwrap_or_default();
    assert!(last.path.starts_with("/abc-123/0?"), "{}", last.path);
    let told = told(&to, ("KOSHU_HEALTHCHECKS_TOKEN", "s3cret"));
    assert!(
        told.contains("OK (not found)"),
        "a success that is none: {told}"
    );
}

#[test]
fn elastic_gets_documents_in_bulk_and_its_refusals_are_counted() {
    let double = Double::new(|it| {
        // The grammar of the bulk API: an action and a document on two lines, the last one ended.
        let lines: Vec<&str> = it.body.split('\n').collect();
        let good = it.body.ends_with('\n')
            && lines[..lines.len() - 1].chunks(2).all(|pair| {
                let is_json = |it: &str| serde_json::from_str::<Value>(it).is_ok();
                pair.len() == 2 && pair[0] == "{\"create\":{}}" && is_json(pair[1])
            })
            && it.header("content-type") == "application/x-ndjson"
            && it.header("authorization") == "ApiKey s3cret";
        match (good, it.path.as_str()) {
            (false, _) => (400, "bad".to_owned()),
            (true, "/logs-koshu-default/_bulk") => {
                (200, json!({ "errors": false, "items": [] }).to_string())
            }
            (true, _) => {
                let refused = json!({ "create": { "status": 400, "error": { "type": "x", "reason": "failed to parse field [x]" } } });
                let fine = json!({ "create": { "status": 201 } });
                (
                    200,
                    json!({ "errors": true, "items": [fine, refused] }).to_string(),
                )
            }
        }
    });
    let secret = ("KOSHU_ELASTIC_BULK_TOKEN", "s3cret");
    let to = format!("elastic-bulk+http://{}/logs-koshu-default", double.address);
    taken(&deliver(&results::lists(), &to, secret));
    let body = double.seen()[0].body.clone();
    let documents: Vec<Value> = body
        .lines()
        .skip(1)
        .step_by(2)
        .filter_map(|it| serde_json::from_str(it).ok())
        .collect();
    assert_eq!(documents.len(), 6);
    for (it, outcome) in EXPECTED
        .iter()
        .zip(["success", "failure", "failure", "unknown"])
    {
        let found = documents
            .iter()
            .find(|document| document["service"]["name"] == it.name);
        let found = found.expect("a document");
        assert_eq!(found["event"]["outcome"], outcome);
        assert_eq!(found["koshu"]["state"], it.code);
        assert_eq!(found["message"], format!("{}: {}", it.name, it.text));
        assert_eq!(found["host"]["name"], "box");
    }
    let told = told(&format!("elastic-bulk+http://{}", double.address), secret);
    assert!(
        told.contains("1 of 2 documents were refused: failed to parse field [x]"),
        "{told}"
    );
}

#[test]
fn nrdp_answers_200_to_a_wrong_token_and_koshu_does_not_believe_it() {
    let double = Double::new(|it| {
        let form: Vec<(String, String)> = it
            .body
            .split('&')
            .filter_map(|it| it.split_once('='))
            .map(|(name, value)| {
                let value = value.replace('+', " ");
                let mut bytes = Vec::new();
                let mut rest = value.as_bytes();
                while let [first, more @ ..] = rest {
                    let hex =
                        |it: &[u8]| u8::from_str_radix(std::str::from_utf8(it).ok()?, 16).ok();
                    match (first, more) {
                        (b'%', [a, b, after @ ..]) => {
                            bytes.push(hex(&[*a, *b]).expect("hex"));
                            rest = after;
                        }
                        _ => {
                            bytes.push(*first);
                            rest = more;
                        }
                    }
                }
                (name.to_owned(), String::from_utf8(bytes).expect("UTF-8"))
            })
            .collect();
        let get = |name: &str| {
            form.iter()
                .find(|it| it.0 == name)
                .map_or("", |it| it.1.as_str())
                .to_owned()
        };
        if get("token") != "s3cret" {
            return (
                200,
                json!({ "result": { "status": -1, "message": "BAD TOKEN" } }).to_string(),
            );
        }
        assert_eq!(get("cmd"), "submitcheck");
        let data: Value = serde_json::from_str(&get("json")).expect("JSON");
        let results = data["checkresults"].as_array().expect("results");
        for it in results {
            assert_eq!(it["checkresult"]["type"], "service");
            assert!(it["hostname"] == "box" && it["state"].is_string() && it["output"].is_string());
        }
        let count = format!("{} checks processed.", results.len());
        (
            200,
            json!({ "result": { "status": 0, "message": "OK", "meta": { "output": count } } })
                .to_string(),
        )
    });
    let to = format!("nrdp+http://{}/nrdp/", double.address);
    taken(&deliver(
        &results::lists(),
        &to,
        ("KOSHU_NRDP_TOKEN", "s3cret"),
    ));
    assert_eq!(double.seen().len(), 1, "all in one request");
    assert_eq!(double.seen()[0].path, "/nrdp/");
    let bad = told(&to, ("KOSHU_NRDP_TOKEN", "wrong"));
    assert!(bad.contains("BAD TOKEN"), "{bad}");
    let none = told(&to, NONE);
    assert!(
        none.contains("nrdp wants a token: set it in [[to]], or KOSHU_NRDP_TOKEN"),
        "{none}"
    );
}

#[test]
fn a_webhook_gets_the_document_and_what_the_url_says() {
    let double = Double::new(|_| (204, String::new()));
    let lists = results::lists();
    lists.add("token", b"s3cret\n");
    let text = std::fs::read_to_string(lists.file()).expect("the list");
    lists.add(
        "checks.toml",
        format!(
            "{text}[[to]]\nurl = 'webhook+http://{}/hook?key=1&host=elsewhere'\ntoken = {{ file = 'token' }}\n",
            double.address
        )
        .as_bytes(),
    );
    taken(&lists.run(&[]));
    let request = double.seen()[0].clone();
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/hook?key=1")
    );
    assert_eq!(request.header("authorization"), "Bearer s3cret");
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.json()["host"], "elsewhere");
    assert_eq!(request.json()["checks"][0]["name"], "fine");
}

#[test]
fn a_webhook_whose_url_is_the_secret_has_the_token_there_and_nowhere_else() {
    let double = Double::new(|_| (200, "ok".to_owned()));
    let secret = ("KOSHU_WEBHOOK_TOKEN", "T0/B1/s3cret x");
    let to = format!(
        "webhook+http://{}/services/{{token}}?host=box",
        double.address
    );
    taken(&deliver(&results::lists(), &to, secret));
    let to = format!("webhook+http://{}/send?token={{token}}&b=1", double.address);
    taken(&deliver(&results::lists(), &to, secret));
    let seen = double.seen();
    assert_eq!(seen[0].path, "/services/T0/B1/s3cret%20x");
    assert_eq!(seen[1].path, "/send?token=T0/B1/s3cret%20x&b=1");
    assert!(seen.iter().all(|it| it.header("authorization").is_empty()));
    let none = told(&to, NONE);
    assert!(
        none.contains("KOSHU_WEBHOOK_TOKEN in the environment"),
        "{none}"
    );
    let gone = format!("webhook+http://{}/{{token}}", server::closed());
    assert!(told(&gone, secret).contains("refuses connections"));
}

#[test]
fn engines_that_are_down_slow_broken_or_lying_are_told_in_time() {
    let secret = ("KOSHU_NRDP_TOKEN", "s3cret");
    let url = |address: SocketAddr| format!("nrdp+http://{address}/?timeout=1s");
    let down = told(&url(server::closed()), secret);
    assert!(down.contains("refuses connections"), "{down}");
    let slow = told(&url(server::black_hole()), secret);
    assert!(slow.contains("waiting for the response"), "{slow}");
    let broken = told(&url(server::page("500 Oops", "", "it broke")), secret);
    assert!(broken.contains("HTTP 500: it broke"), "{broken}");
    let lying = told(
        &url(server::page("200 OK", "", "<html>welcome</html>")),
        secret,
    );
    assert!(lying.contains("HTTP 200: <html>welcome"), "{lying}");
    let half = told(
        &url(server::fixed(
            "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{",
        )),
        secret,
    );
    assert!(
        half.contains("closed") || half.contains("ended") || half.contains("hung up"),
        "{half}"
    );
    let tcp = |address: SocketAddr| told(&format!("tcp://{address}?timeout=1s"), NONE);
    assert!(tcp(server::closed()).contains("refuses connections"));
    let hole = tcp(server::black_hole());
    assert!(hole.contains("waiting until it has read"), "{hole}");
    let zabbix = |address: SocketAddr| told(&format!("zabbix://{address}?timeout=1s"), NONE);
    assert!(zabbix(server::closed()).contains("refuses connections"));
    assert!(zabbix(server::black_hole()).contains("waiting for its answer"));
    let other = zabbix(server::serve(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"SSH-2.0-x\r\n");
    }));
    assert!(other.contains("does not answer as Zabbix does"), "{other}");
    let file = told("file:/no/such/folder/x", NONE);
    assert!(
        file.contains("cannot write /no/such/folder/x: No such file"),
        "{file}"
    );
    let spool = told("nagios:/etc/hostname", NONE);
    assert!(
        spool.contains("neither Nagios' check_result_path"),
        "{spool}"
    );
}

#[test]
fn twenty_slow_destinations_take_as_long_as_one() {
    let holes: Vec<String> = (0..20)
        .map(|_| format!("tcp://{}?timeout=1s", server::black_hole()))
        .collect();
    let mut words = vec!["--to"; 40];
    for (word, hole) in words.iter_mut().skip(1).step_by(2).zip(&holes) {
        *word = hole;
    }
    let said = fine().run(&words);
    said.is("WARNING");
    assert!(said.took < Duration::from_secs(3), "{:?}", said.took);
    assert!(
        said.first()
            .contains("20 of 20 destinations did not take the results, the first of them tcp"),
        "{}",
        said.out
    );
    let told = said
        .out
        .lines()
        .filter(|it| it.trim().starts_with("tcp 127.0.0.1:"));
    assert_eq!(told.count(), 20, "each of them is named: {}", said.out);
}

#[test]
fn one_failure_of_many_loses_nothing_of_the_others() {
    let double = Double::new(|_| (200, String::new()));
    let good = format!("webhook+http://{}/", double.address);
    let bad = format!("webhook+http://{}/", server::closed());
    let lists = results::lists();
    let said = lists.run(&["--to", &bad, "--to", &good]);
    assert!(
        said.is("CRITICAL").contains("koshu-delivery"),
        "{}",
        said.out
    );
    assert_eq!(double.seen().len(), 1);
    // What was delivered does not know of it: it was served first.
    assert!(!double.seen()[0].body.contains("koshu-delivery"));
}

#[test]
fn a_list_that_cannot_be_read_is_delivered_as_unknown() {
    let double = Double::new(|_| (202, String::new()));
    let to = format!("sensu+http://{}", double.address);
    let lists = Lists::new("[[check]]\ntype = 'dsik'\n");
    lists.run(&["--to", &to]).is("UNKNOWN");
    let seen = double.seen();
    assert_eq!(seen.len(), 1);
    let check = seen[0].json()["check"].clone();
    assert_eq!(check["metadata"]["name"], "koshu");
    assert_eq!(check["status"], 3);
    let output = check["output"].as_str().unwrap_or_default();
    assert!(output.contains("unknown check type `dsik`"), "{output}");
    // That this is not delivered either is said, too.
    let to = format!("sensu+http://{}", server::closed());
    let said = lists.run(&["--to", &to]);
    said.is("UNKNOWN");
    said.has("koshu-delivery: sensu 127.0.0.1:")
        .has("refuses connections");
}

#[test]
fn graphs_of_a_single_check_do_not_jump_when_something_is_not_delivered() {
    let to = format!("tcp://{}", server::closed());
    let labels = |said: &Said| -> Vec<String> {
        let perfdata = said
            .first()
            .split(" | ")
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        perfdata
            .split(' ')
            .filter_map(|it| Some(it.split_once('=')?.0.to_owned()))
            .collect()
    };
    let lists = fine();
    let (before, after) = (lists.run(&[]), lists.run(&["--to", &to]));
    assert_eq!(labels(&before), labels(&after));
}

#[test]
fn mistakes_in_a_destination_are_told_with_their_place() {
    let lists = Lists::new(
        "[[check]]\ntype = 'disk'\n[[to]]\nurl = 'icinga+https://x'\n[[to]]\nurl = 'nagios:/x'\nttl = '5m'\n[[to]]\nurl = 'tcp://x'\nfomat = 'xymon'\n",
    );
    let said = lists.run(&[]);
    said.is("UNKNOWN");
    said.has("checks.toml:4:7: url: unknown destination `…`, did you mean `icinga2`?")
        .has("checks.toml:7:7: `ttl` does nothing for nagios:/x")
        .has("checks.toml:10:1: unknown key `fomat` in [[to]]")
        .has("did you mean `format`?");
    let said = fine().run(&["--to", "icinga2+https://koshu:s3cret@x"]);
    assert!(
        said.is("UNKNOWN").contains("KOSHU_ICINGA2_PASSWORD"),
        "{}",
        said.out
    );
    assert!(!said.out.contains("s3cret"), "{}", said.out);
    let written =
        Lists::new("[[check]]\ntype = 'disk'\n[[to]]\nurl = 'nrdp+https://x'\ntoken = 's3cret'\n");
    let told = crate::koshu::koshu(&["validate", "-c", &written.file()]).out;
    assert!(
        told.contains("`token` is written out") && !told.contains("s3cret"),
        "{told}"
    );
}

#[test]
fn a_name_of_koshus_own_is_refused() {
    for name in ["koshu", "koshu-delivery"] {
        let lists = Lists::new(&format!("[[check]]\nname = '{name}'\ntype = 'disk'\n"));
        let said = lists.run(&[]);
        assert!(
            said.is("UNKNOWN")
                .contains("is what koshu itself is called"),
            "{}",
            said.out
        );
    }
}

#[test]
fn delivering_ends_with_the_deadline_of_the_run() {
    let hole = format!("tcp://{}?timeout=30s", server::black_hole());
    let said = fine().run(&["--to", &hole, "--deadline", "1s"]);
    let text = said.is("WARNING");
    assert!(text.starts_with("koshu-delivery: tcp 127.0.0.1:"), "{text}");
    assert!(said.took < Duration::from_secs(4), "{:?}", said.took);
    // A list that cannot be read is no reason to take longer.
    let broken = Lists::new("[[check]]\nname = 'x'\ntype = 'file'\npaht = '/'\n");
    let said = broken.run(&["--to", &hole, "--deadline", "1s"]);
    said.is("UNKNOWN");
    said.has("koshu-delivery: ");
    assert!(said.took < Duration::from_secs(4), "{:?}", said.took);
}

#[test]
fn checks_that_take_the_whole_deadline_leave_time_to_deliver() {
    let hole = server::black_hole();
    let lists = Lists::new(&format!(
        "[[check]]\nname = 'hung'\ntype = 'tcp'\nhost = '127.0.0.1'\nport = {}\nexpect = 'never'\ntimeout = '20s'\n\n[[check]]\nname = 'next'\ntype = 'tcp'\nhost = '127.0.0.1'\nport = {}\n",
        hole.port(),
        hole.port()
    ));
    let (told, gone) = mpsc::channel();
    // It takes its time, but less than a fifth of the whole.
    let slow = server::serve(move |mut stream| {
        let mut message = String::new();
        let _ = stream.read_to_string(&mut message);
        std::thread::sleep(Duration::from_millis(150));
        let _ = told.send(message);
    });
    let to = format!("tcp://{slow}?format=nagios");
    let said = lists.run(&["--to", &to, "--deadline", "4s", "--parallel", "1"]);
    let text = said.is("UNKNOWN");
    said.has("not started: the run's deadline of 4 s, less 0.8 s to deliver, came first");
    assert!(!said.out.contains("koshu-delivery"), "{}", said.out);
    assert!(text.contains("no answer"), "{text}");
    let message = gone.recv().expect("a message");
    assert!(message.contains("no answer"), "{message}");
    assert!(said.took < Duration::from_secs(4), "{:?}", said.took);
}

#[test]
fn a_signal_ends_delivering_with_a_whole_answer() {
    let (told, came) = mpsc::channel();
    let hole = server::serve(move |stream| {
        let _ = told.send(());
        // Held open until koshu hangs up.
        let _ = (&stream).read_to_end(&mut Vec::new());
        std::thread::sleep(Duration::from_secs(30));
    });
    let to = format!("tcp://{hole}?timeout=30s");
    let lists = fine();
    let file = lists.file();
    let mut command = std::process::Command::new(crate::koshu::binary());
    command.args(["run", "-c", &file, "--state", "none", "--to", &to]);
    let child = command.stdout(Stdio::piped()).spawn().expect("koshu");
    came.recv().expect("a connection");
    let asked = Instant::now();
    let kill = std::process::Command::new("kill")
        .arg(child.id().to_string())
        .status();
    assert!(kill.expect("kill").success());
    let out = child.wait_with_output().expect("an answer");
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(
        text.contains("did not take it before the run was stopped by SIGTERM"),
        "{text}"
    );
    assert_eq!(
        out.status.code(),
        Some(1),
        "the checks themselves were done"
    );
}
