//! Destinations that are a bare TCP connection: whoever takes a message to its end, as Xymon does, and Zabbix' trapper.

use crate::check::Context;
use crate::format::zabbix::Sample;
use crate::model::duration::since_1970;
use crate::model::report::Report;
use crate::net::dial::{Stream, dial};
use crate::net::{self, Family, Fault, fault};
use serde_json::{Value, json};
use std::io::{Read, Write};

/// How many values are sent at once, as zabbix_sender does it.
const BATCH: usize = 250;
/// The most bytes of an answer that are read.
const ANSWER: u64 = 64 << 10;

fn open(host: &str, port: u16, cx: &Context) -> Result<(Stream, String), Fault> {
    let addresses = net::resolve(host, port, Family::Any, cx.deadline)?;
    let dialled = dial(&addresses, cx.deadline)?;
    Ok((dialled.stream, dialled.peer.to_string()))
}

/// Sends a message and waits until the peer has read it to its end.
pub fn tcp(host: &str, port: u16, bytes: &[u8], cx: &Context) -> Result<(), Fault> {
    let (mut stream, who) = open(host, port, cx)?;
    let sent = stream.write_all(bytes).and_then(|()| stream.end());
    sent.map_err(|it| fault(&it, &who, "sending the results"))?;
    // Nothing is answered; a peer that has read everything hangs up.
    let mut answer = Vec::new();
    let read = stream.take(ANSWER).read_to_end(&mut answer);
    read.map_err(|it| fault(&it, &who, "waiting until it has read the results"))?;
    Ok(())
}

/// Sends values to a trapper and counts what it does not take.
pub fn zabbix(
    host: &str,
    port: u16,
    report: &Report,
    samples: &[Sample],
    cx: &Context,
) -> Result<(), String> {
    let clock = since_1970(report.at).as_secs();
    let (mut failed, mut total) = (0, 0);
    for batch in samples.chunks(BATCH) {
        let data: Vec<Value> = batch
            .iter()
            .map(|Sample { key, value }| {
                json!({ "host": report.host, "key": key, "value": value, "clock": clock })
            })
            .collect();
        let request = json!({ "request": "sender data", "data": data, "clock": clock });
        let answer = exchange(host, port, request.to_string().as_bytes(), cx)?;
        let info = answer["info"].as_str().unwrap_or_default();
        if answer["response"] != "success" {
            return Err(format!("it answers {} {info}", answer["response"]));
        }
        // It is called a success even when nothing was taken.
        let count = |word: &str| -> Option<u64> {
            let (_, rest) = info.split_once(word)?;
            rest.trim_start().split(';').next()?.parse().ok()
        };
        failed += count("failed:").ok_or_else(|| format!("it answers \"{info}\""))?;
        total += batch.len();
    }
    match failed {
        0 => Ok(()),
        _ => Err(format!(
            "{failed} of {total} values were not taken: is {} a host there, with koshu's template and this machine's address allowed? What is new is only known after a while",
            report.host
        )),
    }
}

/// One request and its answer, each behind a header (Zabbix documentation, "Header").
fn exchange(host: &str, port: u16, body: &[u8], cx: &Context) -> Result<Value, String> {
    let told = |it: Fault| it.to_string();
    let (mut stream, who) = open(host, port, cx).map_err(told)?;
    let length = (body.len() as u64).to_le_bytes();
    let message = [b"ZBXD\x01", &length[..], body].concat();
    let sent = stream.write_all(&message);
    sent.map_err(|it| told(fault(&it, &who, "sending the values")))?;
    let mut answer = Vec::new();
    let read = stream.take(ANSWER).read_to_end(&mut answer);
    read.map_err(|it| told(fault(&it, &who, "waiting for its answer")))?;
    let strange = || format!("{who} does not answer as Zabbix does");
    let body = answer.strip_prefix(b"ZBXD\x01").and_then(|it| it.get(8..));
    serde_json::from_slice(body.ok_or_else(strange)?).map_err(|_| strange())
}
