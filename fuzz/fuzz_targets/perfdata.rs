//! What other people's plugins print: every item that is read is printed so that it is read again.
#![no_main]
#![allow(dead_code, reason = "only a part of koshu is fuzzed at a time")]

#[path = "../../src/model/mod.rs"]
mod model;

use libfuzzer_sys::fuzz_target;
use model::metric::Metric;
use model::perfdata::{Item, parse, read};

fuzz_target!(|bytes: &[u8]| {
    let printed = read(&String::from_utf8_lossy(bytes));
    let line: Vec<String> = printed.items.iter().map(Item::to_string).collect();
    let line = line.join(" ");
    assert!(!line.contains(['|', '\n', '\r', '\0']));
    assert_eq!(parse(&line), (printed.items.clone(), vec![]));
    // A label that is long already would be too long with what is put before it.
    let metrics = printed.items.iter().filter_map(Item::metric);
    for metric in metrics.filter(|it| it.label.len() < 190) {
        assert!(metric.value.is_finite());
        let again = parse(&metric.perfdata("check."));
        assert_eq!(again.1, Vec::<String>::new());
        assert_eq!(again.0.len(), 1);
        assert_eq!(again.0[0].label, format!("check.{}", metric.label));
        let _: Metric = metric;
    }
});
