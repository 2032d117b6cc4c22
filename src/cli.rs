//! The command line of koshu itself; no behaviour.

use crate::check::{TYPES, Type};
use crate::config;
use crate::export::ENGINES;
use crate::format::{FORMATS, Style};
use crate::model::duration::Duration;
use crate::model::name;
use crate::model::state::State;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// Runs a list of checks at once and answers in Nagios' language.
#[derive(Parser)]
#[command(
    name = "koshu",
    version,
    subcommand_required = true,
    arg_required_else_help = false,
    after_help = "A check needs no list: koshu http https://example.jp/ time=1s,3s\nkoshu explain shows every type, key and finding."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run checks: all, or those whose name or tag is given
    Run(Run),
    /// Show which checks would run on this host, what they look at, groups, and windows with their next time
    List(ListArgs),
    /// Read the list and tell every mistake in it
    Validate(Lists),
    /// Explain a check type with its keys, a finding and what to do about it, or how to plug koshu into another system
    Explain {
        /// A type as `http`, a finding as `expired`, an engine as `nagios`; nothing for an overview
        topic: Option<String>,
    },
    /// Show what was seen: states, outages, availability
    History(PastArgs),
    /// Hold the states of checks down for a time; they run and show all the same
    Pause(PauseArgs),
    /// End a pause before its time
    Resume(ResumeArgs),
    /// Vouch for a check of type review, which only a person can look at
    Attest(Attest),
    /// Write a list for this host, with the reason for each check, to review and keep
    Discover {
        /// Only what the list does not look at, and what it looks at that is gone; the exit code is 1 when there is any
        #[arg(long)]
        diff: bool,
        #[command(flatten)]
        lists: Lists,
    },
    /// Print another program's own configuration for these checks
    Export(ExportArgs),
    /// Print the JSON Schema of lists, or of the report that --format json prints
    Schema {
        #[arg(value_enum, default_value = "list")]
        of: Schema,
    },
    /// Print the completion script for a shell
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// One check from the command line, of the type that the subcommand names
    #[command(skip)]
    AdHoc(AdHoc),
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Schema {
    List,
    Report,
}

#[derive(Debug, Args)]
pub struct Run {
    /// Names of checks, patterns of names, or tag:PATTERN; an exact name wins over a pattern
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    #[command(flatten)]
    pub lists: Lists,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct PastArgs {
    /// The name of a check or group; nothing for an overview of all
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// How far to look back
    #[arg(long = "for", value_name = "DURATION", default_value = "30d")]
    pub length: Limit,
    /// How to write it
    #[arg(long, value_enum, default_value = "human")]
    pub format: PastFormat,
    #[command(flatten)]
    pub lists: Lists,
    #[command(flatten)]
    pub history: History,
}

/// How the past is written.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum PastFormat {
    Human,
    Json,
    Csv,
}

#[derive(Debug, Args)]
pub struct PauseArgs {
    /// A name, a pattern of names, or tag:PATTERN; nothing shows what is paused
    #[arg(value_name = "PATTERN", requires = "length")]
    pub pattern: Option<String>,
    /// For how long
    #[arg(long = "for", value_name = "DURATION", requires = "pattern")]
    pub length: Option<Limit>,
    /// Why, for whoever reads it
    #[arg(long, value_name = "TEXT", requires = "pattern")]
    pub because: Option<String>,
    #[command(flatten)]
    pub lists: Lists,
    #[command(flatten)]
    pub history: History,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The pattern that was paused
    #[arg(value_name = "PATTERN")]
    pub pattern: String,
    #[command(flatten)]
    pub lists: Lists,
    #[command(flatten)]
    pub history: History,
}

#[derive(Debug, Args)]
pub struct Attest {
    /// The name of the check
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Who vouches for it
    #[arg(long, value_name = "WHO")]
    pub by: String,
    /// What was done and seen
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    #[command(flatten)]
    pub lists: Lists,
    #[command(flatten)]
    pub history: History,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The program
    #[arg(value_name = "ENGINE", value_parser = engines())]
    pub engine: String,
    /// One part of its configuration alone, as it belongs into a file; koshu explain ENGINE names the parts
    #[arg(value_name = "PART")]
    pub part: Option<String>,
    /// One service for each check and each group, not one for all of them
    #[arg(long)]
    pub each: bool,
    /// What the program calls this machine [default: its host name]
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    #[command(flatten)]
    pub lists: Lists,
}

fn engines() -> PossibleValuesParser {
    PossibleValuesParser::new(
        ENGINES
            .iter()
            .map(|it| clap::builder::PossibleValue::new(it.name).help(it.title)),
    )
}

#[derive(Debug, Args)]
pub struct Lists {
    /// A list, or a directory of *.toml lists; can be repeated [default: /etc/koshu]
    #[arg(short = 'c', long = "config", value_name = "PATH")]
    pub config: Vec<PathBuf>,
}

/// One check from the command line.
pub struct AdHoc {
    pub kind: &'static Type,
    pub words: Vec<String>,
    pub options: Options,
}

// What `run` and the ad-hoc checks have in common; a doc comment would become their help text.
#[derive(Debug, Args)]
pub struct Options {
    /// How to write the answer [default: human on a terminal, else nagios]
    #[arg(long, value_name = "FORMAT", value_parser = formats())]
    pub format: Option<String>,
    /// What this machine is called in the answer, as the monitoring system knows it [default: its host name]
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Deliver the results there, too; can be repeated: file:PATH, nagios:PATH, tcp://HOST (Xymon), zabbix://HOST or PRESET+https://HOST, with host=, on=change, timeout=, format=, ttl= or ca= behind a question mark. See koshu-engines(7)
    #[arg(long, value_name = "URL")]
    pub to: Vec<String>,
    /// The exit code: state (0 to 3), zero, or fail-on=STATE (1 at or above it) [default: state for nagios, human, junit and tap, else zero]
    #[arg(long, value_name = "POLICY")]
    pub exit: Option<Exit>,
    /// The limit of the whole run, below Nagios' and Icinga's 60 s; where results are delivered, checks leave a fifth of it for that, at most 5 s
    #[arg(long, value_name = "DURATION", default_value = "50s")]
    pub deadline: Limit,
    /// At most so many checks at once [default: what open files and memory allow, at most 2048]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub parallel: Option<u32>,
    #[command(flatten)]
    pub history: History,
    /// Record this run although somebody at a terminal has called it; what a program calls is always recorded
    #[arg(long)]
    pub record: bool,
    /// When to print anything: cron mails only news with change; the exit code is the same
    #[arg(long, value_enum, value_name = "WHEN", default_value = "always")]
    pub print: Print,
    /// The most bytes that the nagios format prints
    #[arg(long, value_name = "N", default_value_t = Style::MAX_BYTES as u32, value_parser = clap::value_parser!(u32).range(80..=16_777_216))]
    pub max_bytes: u32,
}

// What to list; a doc comment would become the help text of the command.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub lists: Lists,
    /// As if this machine were called so [default: its host name]
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
}

/// When a run prints its answer.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum Print {
    /// After every run
    Always,
    /// When something is not OK
    Problem,
    /// When something has changed since the run before
    Change,
}

// Where history is; a doc comment would become the help text of the command.
#[derive(Debug, Default, Args)]
pub struct History {
    /// The file of what earlier runs saw, or none [default: in $STATE_DIRECTORY, /var/lib/koshu, or the user's ~/.local/state/koshu]
    #[arg(long, value_name = "PATH")]
    pub state: Option<PathBuf>,
}

fn formats() -> PossibleValuesParser {
    PossibleValuesParser::new(
        FORMATS
            .iter()
            .map(|it| clap::builder::PossibleValue::new(it.name).help(it.about)),
    )
}

/// A limit of time that is not nothing.
#[derive(Clone, Copy, Debug)]
pub struct Limit(pub std::time::Duration);

impl std::str::FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Limit, String> {
        match text.parse::<Duration>()? {
            Duration(it) if it.as_millis() < 200 => {
                Err("a deadline below 200 ms lets no check answer".to_owned())
            }
            Duration(it) => Ok(Limit(it)),
        }
    }
}

/// How the exit code follows from the state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exit {
    /// The state's own code, 0 to 3.
    State,
    /// Always 0 when the run worked.
    Zero,
    /// 1 at or above a state in the order of badness, else 0.
    FailOn(State),
}

impl std::str::FromStr for Exit {
    type Err = String;

    fn from_str(text: &str) -> Result<Exit, String> {
        match (text, text.strip_prefix("fail-on=")) {
            ("state", _) => Ok(Exit::State),
            ("zero", _) => Ok(Exit::Zero),
            (_, Some(state)) => state.parse().map(Exit::FailOn),
            _ => Err("expected state, zero or fail-on=STATE".to_owned()),
        }
    }
}

impl Exit {
    /// The exit code for a state.
    pub fn code(self, state: State) -> u8 {
        match self {
            Exit::State => state.code(),
            Exit::Zero => 0,
            Exit::FailOn(least) => u8::from(state.badness() >= least.badness()),
        }
    }
}

/// The whole command line, with a subcommand for each type.
pub fn command() -> clap::Command {
    Cli::command().subcommands(TYPES.iter().map(|kind| ad_hoc(kind)))
}

/// The subcommand of one type; its arguments are only built where it is called or explained.
fn ad_hoc(kind: &'static Type) -> clap::Command {
    let about = match kind.targets.first() {
        Some(target) => format!(
            "Run one {} check: TARGET is its {}",
            kind.name,
            target.to_uppercase()
        ),
        None => format!("Run one {} check", kind.name),
    };
    // clap wants a plain function, which cannot know the type.
    let arguments = match kind.targets.is_empty() {
        true => |command| arguments(command, &["KEY=VALUE"]),
        false => |command| arguments(command, &["TARGET", "KEY=VALUE"]),
    };
    clap::Command::new(kind.name).about(about).defer(arguments)
}

fn arguments(command: clap::Command, names: &[&'static str]) -> clap::Command {
    let kind = command.get_name();
    let help = match names {
        [_] => format!("Keys as in a list; koshu explain {kind} shows them"),
        _ => {
            format!("The target first, then keys as in a list; koshu explain {kind} shows them")
        }
    };
    let words = Arg::new("words")
        .value_names(names)
        .num_args(0..)
        .help(help);
    Options::augment_args(command.arg(words))
}

/// Reads the arguments.
///
/// # Errors
/// clap's own, which includes help and version.
pub fn parse(words: &[OsString]) -> Result<Cli, clap::Error> {
    // The other commands are not even built for an ad-hoc check, which is to start at once.
    if let Some(kind) = words.get(1).and_then(|it| Type::named(it.to_str()?)) {
        let matches = clap::Command::new("koshu")
            .subcommand(ad_hoc(kind))
            .try_get_matches_from(words)?;
        if let Some((_, own)) = matches.subcommand() {
            return Ok(Cli {
                command: Command::AdHoc(AdHoc {
                    kind,
                    words: words_of(own),
                    options: Options::from_arg_matches(own)?,
                }),
            });
        }
    }
    Cli::from_arg_matches(&command().try_get_matches_from(words)?)
}

/// What to say of arguments that clap cannot read.
pub enum Hint {
    Instead(String),
    Besides(String),
}

/// What was probably meant by arguments that clap cannot read.
pub fn hint(error: &clap::Error, words: &[String]) -> Option<Hint> {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let given = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = given(ContextKind::InvalidSubcommand)?;
            Some(Hint::Instead(no_command(word)))
        }
        ErrorKind::UnknownArgument => {
            let kind = Type::named(words.get(1)?)?;
            let option = given(ContextKind::InvalidArg)?;
            Some(Hint::Besides(key_for(option, kind)?))
        }
        _ => None,
    }
}

/// What is called otherwise elsewhere.
const COMMANDS: [(&str, &str); 10] = [
    ("status", "run"),
    ("check", "run"),
    ("start", "run"),
    ("test", "validate"),
    ("verify", "validate"),
    ("lint", "validate"),
    ("show", "list"),
    ("ls", "list"),
    ("init", "discover"),
    ("silence", "pause"),
];

fn no_command(word: &str) -> String {
    let message = format!("no command or type is called `{word}`");
    if word.ends_with(".toml") {
        return format!("{message}; a list is run with koshu run -c {word}");
    }
    let commands = Cli::command();
    let names = commands.get_subcommands().map(clap::Command::get_name);
    let names = names.chain(TYPES.iter().map(|it| it.name));
    let elsewhere = COMMANDS.iter().find(|it| it.0 == word).map(|it| it.1);
    match elsewhere.or(name::nearest(word, names)) {
        Some(near) => format!("{message}, did you mean `koshu {near}`?"),
        None => format!("{message}; koshu --help shows all"),
    }
}

/// The key that does what an option of the classic plugins does.
fn key_for(option: &str, kind: &Type) -> Option<String> {
    let has = |key: &str| (kind.keys)().contains(&key) || key == "timeout";
    let first = |keys: &[&'static str]| keys.iter().copied().find(|it| has(it));
    let key = match option {
        "-w" | "--warning" | "--warn" | "-c" | "--critical" | "--crit" => {
            let (key, example) = config::limits_of(kind)?;
            return Some(format!(
                "write the limits as {key}={example}, warning first"
            ));
        }
        "-H" | "--hostname" | "--host" | "-I" | "--IP-address" | "-u" | "--url" => {
            first(&["url", "host"])
        }
        "-p" | "--port" => first(&["port", "path", "url"]),
        "-t" | "--timeout" => Some("timeout"),
        "-s" | "--string" | "-r" | "--regex" => first(&["body", "expect", "match"]),
        "-e" | "--expect" => first(&["status", "expect"]),
        "-a" | "--authorization" => first(&["user"]),
        "-C" | "--certificate" | "--command" => first(&["cert", "match"]),
        "-S" | "--ssl" if has("tls") => {
            return Some("write tls=true".to_owned());
        }
        _ => None,
    };
    let key = key?;
    match kind.targets.first() {
        Some(target) if *target == key => Some(format!(
            "write koshu {} {}, or {key}=VALUE",
            kind.name,
            target.to_uppercase()
        )),
        _ => Some(format!("write {key}=VALUE")),
    }
}

/// The format that the arguments ask for, even where the rest of them cannot be read.
pub fn asked_format(words: &[String]) -> Option<&str> {
    let options = words.iter().take_while(|it| *it != "--");
    let mut asked = None;
    let mut is_next = false;
    for word in options {
        if is_next {
            asked = Some(word.as_str());
        }
        is_next = word == "--format";
        asked = word.strip_prefix("--format=").or(asked);
    }
    asked
}

fn words_of(matches: &ArgMatches) -> Vec<String> {
    let words = matches.get_many::<String>("words");
    words.into_iter().flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn exit_policies_follow_badness_not_codes() {
        let policy: Exit = "fail-on=unknown".parse().expect("a policy");
        assert_eq!(policy.code(State::Warning), 0);
        assert_eq!(policy.code(State::Unknown), 1);
        assert_eq!(policy.code(State::Critical), 1);
        assert_eq!(Exit::Zero.code(State::Critical), 0);
        assert_eq!(Exit::State.code(State::Unknown), 3);
        assert!("fail-on=bad".parse::<Exit>().is_err());
    }
}
