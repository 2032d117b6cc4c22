//! Real node_exporter and pushgateway show koshu's metrics.

use crate::engine;
use crate::results::{self, EXPECTED};
use crate::server;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

/// The body of a page.
fn get(port: u16, path: &str) -> String {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect(address).expect("a connection");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

#[track_caller]
fn shows(metrics: &str) {
    let value = |start: &str, labels: &[String]| {
        let line = metrics.lines().find(|line| {
            line.starts_with(start) && labels.iter().all(|it| line.contains(it.as_str()))
        });
        let line = line.unwrap_or_else(|| panic!("no {start} {labels:?} in {metrics}"));
        line.rsplit(' ').next().unwrap_or_default().to_owned()
    };
    for it in &EXPECTED {
        let labels = [
            format!("check=\"{}\"", it.name),
            "type=\"plugin\"".to_owned(),
        ];
        assert_eq!(value("koshu_check_state{", &labels), it.code.to_string());
    }
    let labels = ["check=\"soon\"", "label=\"used\"", "unit=\"%\""].map(str::to_owned);
    assert_eq!(value("koshu_perfdata{", &labels), "91");
    assert_eq!(value("koshu_run_state", &[]), "2");
    assert_eq!(
        value("koshu_check_state{", &["check=\"hostile\"".to_owned()]),
        "2"
    );
    assert!(!metrics.contains("check=\"injected\""));
}

#[test]
fn a_real_node_exporter_reads_the_file() {
    let Some(program) = engine::find("prometheus-node-exporter") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let to = format!(
        "file:{}/koshu.prom?format=prometheus",
        folder.path().display()
    );
    results::lists().run(&["--to", &to]).is("CRITICAL");
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .flatten()
        .collect();
    assert_eq!(names.len(), 1, "nothing is left beside the file: {names:?}");
    let port = server::free_port();
    let _running = engine::start(
        Command::new(program)
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--collector.disable-defaults")
            .arg("--collector.textfile")
            .arg(format!(
                "--collector.textfile.directory={}",
                folder.path().display()
            )),
    );
    engine::until_open(port);
    let metrics = get(port, "/metrics");
    assert!(
        metrics.contains("node_textfile_scrape_error 0"),
        "{metrics}"
    );
    shows(&metrics);
}

#[test]
fn a_real_pushgateway_takes_the_metrics() {
    let Some(program) = engine::find("prometheus-pushgateway") else {
        return;
    };
    let port = server::free_port();
    let _running =
        engine::start(Command::new(program).arg(format!("--web.listen-address=127.0.0.1:{port}")));
    engine::until_open(port);
    let to = format!("pushgateway+http://127.0.0.1:{port}?host=box");
    results::lists().run(&["--to", &to]).is("CRITICAL");
    let metrics = get(port, "/metrics");
    assert!(metrics.contains("instance=\"box\"") && metrics.contains("job=\"koshu\""));
    shows(&metrics);
    // What was pushed before and is gone now does not stay.
    results::lists().run(&["fine", "--to", &to]).is("OK");
    assert!(!get(port, "/metrics").contains("check=\"broken\""));
}
