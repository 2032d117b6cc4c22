//! What koshu promises, tried through the built binary; one file per capability.

// The tools.
mod engine;
mod koshu;
mod lab;
mod namespace;
mod nginx;
mod nsd;
mod results;
mod server;

// The whole program.
mod config_errors;
mod delivery;
mod discover;
mod examples;
mod exit_codes;
mod export;
mod formats;
mod history;
mod layers;
mod lists;
mod manual;
mod places;
mod records;
mod running;
mod secrets;
mod shared;
mod triage;

// What each type promises.
mod answers;
mod cert;
mod chains;
mod clock;
mod disk;
mod dns;
mod hostile;
mod http;
mod local;
mod logs;
mod pages;
mod peers;
mod plugin;
mod process;
mod redirects;
mod remembering;
mod renewal;
mod stores;
mod tcp;
mod tls;
mod trust;
mod walk;
mod zones;

// Other people's programs.
mod gearman;
mod icinga;
mod nagios;
mod nrpe;
mod nsca;
mod ohai;
mod pandora;
mod prometheus;
mod serf;
mod starttls;
mod usage;
mod verdicts;
mod writers;
mod xymon;
mod zabbix;
mod zz_skipped;
