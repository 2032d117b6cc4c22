//! A real nginx with the folders that it needs and whatever servers a test wants, here or inside a namespace.

use crate::engine::{self, Running, find, until};
use std::fs;
use std::path::Path;
use std::process::Command;

/// An nginx with the usual folders in `at`, and what else `servers` says.
pub fn nginx(at: &str, servers: &str, start: impl FnOnce(&Path) -> Command) -> Option<Running> {
    let program = find("nginx")?;
    let config = format!(
        "daemon off; user root; pid {at}/nginx.pid; error_log {at}/error.log; worker_processes 1; events {{ }}
        http {{ access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;
        uwsgi_temp_path {at}/u; scgi_temp_path {at}/s; default_type application/json; {servers} }}"
    );
    let file = format!("{at}/nginx.conf");
    fs::write(&file, config).expect("a file");
    let running = engine::start(start(&program).args(["-p", at, "-c", &file]));
    let pid = format!("{at}/nginx.pid");
    until("nginx", || {
        fs::read_to_string(&pid).is_ok_and(|it| !it.is_empty())
    });
    Some(running)
}
