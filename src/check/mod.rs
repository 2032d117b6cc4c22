//! What can be checked: the trait of a check, what it is given, and the table of types.

mod caa;
pub mod cert;
pub mod cpu;
pub mod disk;
pub mod dns;
pub mod file;
pub mod http;
pub mod load;
pub mod memory;
pub mod mount;
pub mod ntp;
pub mod ping;
pub mod plugin;
pub mod port;
pub mod process;
pub mod review;
pub mod service;
pub mod tcp;
pub mod uptime;
pub mod users;

use crate::bounded;
use crate::host::child::Children;
use crate::host::mounts::{self, Mount};
use crate::host::openssl::Openssl;
use crate::host::processes::{self, Processes};
use crate::host::sockets::{self, Listener};
use crate::host::{Once, Roots};
use crate::model::mask::Mask;
use crate::model::metric::Usual;
use crate::model::outcome::{Code, Outcome, UNKNOWN, code};
use crate::model::secret::{Secret, is_named_secret};
use crate::net::detour::Detour;
use crate::net::dns::walk::Walker;
use crate::net::tls::Peer;
use crate::net::x509::Certificate;
use crate::net::{self, Fault, Resolve, Resolver};
use anyhow::Context as _;
use schemars::{JsonSchema, Schema};
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// All types, in the order in which they are explained.
pub const TYPES: &[&Type] = &[
    &http::TYPE,
    &cert::TYPE,
    &dns::TYPE,
    &tcp::TYPE,
    &disk::TYPE,
    &process::TYPE,
    &load::TYPE,
    &cpu::TYPE,
    &memory::TYPE,
    &uptime::TYPE,
    &users::TYPE,
    &file::TYPE,
    &service::TYPE,
    &mount::TYPE,
    &port::TYPE,
    &ntp::TYPE,
    &ping::TYPE,
    &plugin::TYPE,
    &review::TYPE,
];

/// One thing to look at: a struct whose fields are its keys in the list.
pub trait Check: Send + Sync {
    /// Looks, and judges what it saw. What is wrong with the world is in the outcome.
    ///
    /// # Errors
    /// Only when it could not look; the runner makes that UNKNOWN.
    fn run(&self, cx: &Context) -> anyhow::Result<Outcome>;

    /// Whether it starts programs: such work takes CPU, so fewer of it is done at once than of waiting.
    fn spawns(&self) -> bool {
        false
    }

    /// Whether it compares with what it saw in an earlier run, so that history must be opened for it.
    fn remembers(&self) -> bool {
        false
    }

    /// Whether it also compares where history is kept anyway, and loses little where it is not.
    fn recalls(&self) -> bool {
        false
    }

    /// Whether it says less than it should where there is no earlier run to compare with.
    fn needs_earlier(&self) -> bool {
        self.remembers()
    }

    /// What of root's it reads, asks or starts, said behind "may not say": where others may write its list, root
    /// does not run it.
    fn privileged(&self) -> Option<&'static str> {
        None
    }

    /// Whether it tells of what is new since the last look, so that the next one finds it no more: an engine that
    /// asks again before it believes would never alarm.
    fn alarms_once(&self) -> bool {
        false
    }

    /// Keys that contradict each other, found at load.
    fn flaws(&self) -> Vec<Flaw> {
        Vec::new()
    }
}

/// What [`Check::privileged`] says of a check that reads files.
pub const READS: &str = "which files root reads";

/// A check that is not run, and why: it is UNKNOWN.
pub struct Refused(pub String);

impl Check for Refused {
    fn run(&self, _: &Context) -> anyhow::Result<Outcome> {
        anyhow::bail!("{}", self.0)
    }
}

/// Who wrote what a check does: on the command line the caller, whose words are his own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Author {
    Caller,
    List,
}

/// A contradiction between keys: the key to point at, and what is wrong.
pub struct Flaw {
    pub key: &'static str,
    pub message: String,
}

/// A flaw at a key.
pub fn flaw(key: &'static str, message: impl Into<String>) -> Flaw {
    Flaw {
        key,
        message: message.into(),
    }
}

/// What a check remembered in an earlier run, by [`Outcome::remember`].
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    pub at: SystemTime,
    pub value: serde_json::Value,
}

/// What is known of earlier runs: a hint, never a verdict.
#[derive(Clone, Debug, PartialEq)]
pub enum Previous {
    /// History cannot be read, and why.
    Unknown(String),
    /// There was none, as far as history goes back.
    Never,
    Known(Past),
}

/// What is known of the earlier runs of all checks that remember, by name; or why nothing is.
pub type Memories = Result<HashMap<String, Past>, String>;

/// What a check is given for one look.
#[derive(Clone)]
pub struct Context {
    pub now: SystemTime,
    pub previous: Previous,
    /// When its own I/O must have ended.
    pub deadline: Instant,
    /// The folder from which relative paths count.
    pub base: PathBuf,
    pub author: Author,
    pub run: Arc<Run>,
}

impl Context {
    /// A path of the list as seen from here.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// Accepts a peer whose certificate is valid for `name`, so that something may be sent to it.
    ///
    /// # Errors
    /// World: what is wrong with the certificate. Me: no roots to judge it by.
    pub fn accept(&self, peer: &Peer, name: &str, ca: Option<&Path>) -> Result<(), Fault> {
        let roots = self.roots(ca).map_err(Fault::Me)?;
        let chain = peer.certificates();
        let chain = chain.map_err(|it| Fault::world("untrusted", format!("{it:#}")))?;
        let mut wrong = self.judge(peer, &chain, name, &roots);
        // What is known to be wrong goes before what could not be judged.
        wrong.sort_by_key(|it| it.0 == UNKNOWN);
        match (wrong.into_iter().next(), &peer.unproven) {
            (Some((UNKNOWN, text)), _) => Err(Fault::Me(anyhow::anyhow!(text))),
            (Some((code, text)), _) => Err(Fault::World { code, text }),
            (None, Some(why)) => Err(
                match chain.first().filter(|it| it.weak_key || it.has_odd_key()) {
                    Some(leaf) => Fault::lack(
                        net::TOO_OLD,
                        format!(
                            "koshu cannot check the proof that the server has the key of {} ({})",
                            leaf.subject, leaf.key
                        ),
                    ),
                    None => Fault::world(
                        "untrusted",
                        format!("the server did not prove its key: {why}"),
                    ),
                },
            ),
            (None, None) => Ok(()),
        }
    }

    /// What is wrong with a chain that a peer showed for a name.
    pub fn judge(
        &self,
        peer: &Peer,
        chain: &[Certificate],
        name: &str,
        roots: &net::trust::Roots,
    ) -> Vec<net::trust::Wrong> {
        net::trust::judge(peer, chain, name, roots, self.now, &self.openssl())
    }

    /// The host's openssl, which makes TLS with servers that are too old for the library.
    pub fn detour(&self) -> Arc<dyn Detour> {
        Arc::new(self.openssl())
    }

    fn openssl(&self) -> Openssl {
        Openssl {
            children: self.run.children.clone(),
            path: self.run.env.var("PATH").map(str::to_owned),
            deadline: self.deadline,
        }
    }

    /// The root certificates to trust: those of `ca`, else the system's.
    ///
    /// # Errors
    /// When there are none.
    pub fn roots(&self, ca: Option<&Path>) -> anyhow::Result<Arc<net::trust::Roots>> {
        match ca {
            Some(file) => net::trust::roots_of(&self.path(file)),
            None => self.run.trust.roots(),
        }
    }

    /// What finds addresses.
    pub fn resolver(&self, how: Resolve) -> Resolver {
        match how {
            Resolve::System => Arc::new(net::resolve),
            Resolve::Authoritative => {
                let run = self.run.clone();
                Arc::new(move |host, port, family, deadline| {
                    if net::literal(host)?.is_some() {
                        return net::resolve(host, port, family, deadline);
                    }
                    let name = net::dns::name(host);
                    let name = name.map_err(|it| Fault::Me(anyhow::anyhow!(it)))?;
                    let walker = Walker::from_root(&run.walks, deadline);
                    let found = walker.addresses(&name)?;
                    net::of_family(host, found, port, family)
                })
            }
        }
    }

    /// Reads a secret from where it is kept; what it is stands in no outcome from here on.
    ///
    /// # Errors
    /// When the variable is not set or the file cannot be read.
    pub fn secret(&self, secret: &Secret) -> anyhow::Result<String> {
        let value = self.read(secret)?;
        self.run.secrets.keep(&value);
        Ok(value)
    }

    /// Reads the value of a header or variable, which is a secret only where its name says so.
    ///
    /// # Errors
    /// As [`Context::secret`].
    pub fn value(&self, name: &str, value: &Secret) -> anyhow::Result<String> {
        match is_named_secret(name) {
            true => self.secret(value),
            false => self.read(value),
        }
    }

    fn read(&self, secret: &Secret) -> anyhow::Result<String> {
        match secret {
            Secret::Literal(text) => Ok(text.clone()),
            Secret::Env(name) => self
                .run
                .env
                .var(name)
                .map(str::to_owned)
                .with_context(|| format!("the environment variable {name} is not set")),
            Secret::File(path) => {
                let path = self.path(path);
                let text = bounded::text(&path, bounded::SECRET)
                    .with_context(|| format!("cannot read the secret in {}", path.display()))?;
                Ok(text.trim_end_matches(['\n', '\r']).to_owned())
            }
        }
    }
}

/// The secrets that were read in this run.
#[derive(Default)]
pub struct Secrets(Mutex<BTreeSet<String>>);

impl Secrets {
    /// What is to be shown nowhere.
    pub fn keep(&self, secret: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(secret.to_owned());
    }

    /// Hides all of them in outcomes.
    pub fn hide<'o>(&self, outcomes: impl IntoIterator<Item = &'o mut Outcome>) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mask) = Mask::new(all.iter().map(String::as_str)) {
            outcomes.into_iter().for_each(|it| it.hide(&mask));
        }
    }
}

/// What all checks of one run share; each part is made when the first check needs it.
pub struct Run {
    pub env: Env,
    pub trust: net::trust::Trust,
    /// Where the kernel shows itself.
    pub roots: Roots,
    processes: Once<Processes>,
    mounts: Once<Vec<Mount>>,
    listeners: Once<Vec<Listener>>,
    /// Programs that checks have started.
    pub children: Arc<Children>,
    pub secrets: Secrets,
    past: Memories,
    /// What has been vouched for to all users of this host, by the names of checks.
    vouched: HashMap<String, Past>,
    pub walks: net::dns::shared::Shared,
}

impl Run {
    pub fn new(env: Env, past: Memories) -> Run {
        Run {
            past,
            vouched: HashMap::new(),
            trust: net::trust::Trust::new(env.var("SSL_CERT_FILE").map(PathBuf::from)),
            roots: env.roots.clone(),
            processes: Once::default(),
            mounts: Once::default(),
            listeners: Once::default(),
            children: Arc::new(Children::new(env.exe.clone(), env.secrets())),
            secrets: Secrets::default(),
            walks: net::dns::shared::Shared::default(),
            env,
        }
    }
}

impl Run {
    /// The same, with what has been vouched for to all users.
    pub fn with_vouched(self, vouched: HashMap<String, Past>) -> Run {
        Run { vouched, ..self }
    }

    /// All processes.
    ///
    /// # Errors
    /// As [`processes::read`].
    pub fn processes(&self) -> anyhow::Result<&Processes> {
        self.processes.get(|| processes::read(&self.roots))
    }

    /// The mount table.
    ///
    /// # Errors
    /// As [`mounts::read`].
    pub fn mounts(&self) -> anyhow::Result<&[Mount]> {
        let mounts = self.mounts.get(|| mounts::read(&self.roots));
        mounts.map(Vec::as_slice)
    }

    /// What listens.
    ///
    /// # Errors
    /// As [`sockets::listeners`].
    pub fn listeners(&self) -> anyhow::Result<&[Listener]> {
        let listeners = self.listeners.get(|| sockets::listeners(&self.roots));
        listeners.map(Vec::as_slice)
    }

    /// What the check of this name remembered, or somebody vouched for since.
    pub fn previous(&self, name: &str) -> Previous {
        let own = self.past.as_ref().map(|all| all.get(name));
        let known = own.ok().flatten().into_iter().chain(self.vouched.get(name));
        match (known.max_by_key(|it| it.at), &self.past) {
            (Some(past), _) => Previous::Known(past.clone()),
            (None, Err(why)) => Previous::Unknown(why.clone()),
            (None, Ok(_)) => Previous::Never,
        }
    }
}

/// What only `main` may know of the process: handed down, never asked for.
#[derive(Clone, Debug, Default)]
pub struct Env {
    pub vars: BTreeMap<String, String>,
    /// The name of this machine.
    pub host: String,
    /// The file to start for helper processes.
    pub exe: PathBuf,
    pub roots: Roots,
    pub clock: Clock,
}

/// Reads this machine's clock, for a check of the clock itself; everything else goes by [`Context::now`].
#[derive(Clone, Copy, Debug)]
pub struct Clock(pub fn() -> SystemTime);

impl Default for Clock {
    fn default() -> Clock {
        Clock(|| SystemTime::UNIX_EPOCH)
    }
}

impl Env {
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    /// The names of variables that hold secrets for koshu itself: `KOSHU_ICINGA_PASSWORD`, `KOSHU_SLACK_TOKEN`.
    fn secrets(&self) -> Vec<String> {
        let names = self.vars.keys().filter(|it| it.starts_with("KOSHU_"));
        let secret = names.filter(|it| is_named_secret(it));
        secret.cloned().collect()
    }
}

/// Reads a check from its own keys.
type Parse = fn(toml::de::ValueDeserializer) -> Result<Arc<dyn Check>, toml::de::Error>;

/// A row of the table of types.
pub struct Type {
    pub name: &'static str,
    /// The keys that can be its target; the first is TARGET of the ad-hoc command. None for what there is one
    /// of on a machine.
    pub targets: &'static [&'static str],
    /// One commented check to copy.
    pub example: &'static str,
    /// The metrics that it usually has.
    pub metrics: &'static [Usual],
    /// The codes of its findings.
    pub codes: &'static [&'static [Code]],
    /// The names of its keys.
    pub keys: fn() -> &'static [&'static str],
    pub parse: Parse,
    /// Its keys with their documentation.
    pub schema: fn() -> Schema,
}

impl Type {
    pub const fn of<C: Check + DeserializeOwned + JsonSchema + 'static>(
        name: &'static str,
        targets: &'static [&'static str],
        example: &'static str,
        metrics: &'static [Usual],
        codes: &'static [&'static [Code]],
    ) -> Type {
        Type {
            name,
            targets,
            example,
            metrics,
            codes,
            keys: keys::<C>,
            parse: |value| Ok(Arc::new(C::deserialize(value)?)),
            schema: schema::<C>,
        }
    }

    /// The type of this name.
    pub fn named(name: &str) -> Option<&'static Type> {
        TYPES.iter().copied().find(|it| it.name == name)
    }

    /// Every code that `grade` can re-grade for this type.
    pub fn codes(&self) -> impl Iterator<Item = &'static Code> {
        self.codes.iter().copied().flatten().chain(EVERYWHERE)
    }
}

/// What a check of any type can find.
const EVERYWHERE: &[Code] = &[
    code(
        UNKNOWN,
        "UNKNOWN",
        "koshu could not look: a permission, a file or a resolver that it needs is missing. The text says which.",
    ),
    code(
        crate::model::outcome::FULL_IN,
        "by limits",
        "Something grows and will reach its end sooner than `full_in` allows: make room, or find what grows.",
    ),
];

/// The keys of a table with their documentation and kinds.
pub fn schema<T: JsonSchema>() -> Schema {
    let settings = schemars::generate::SchemaSettings::draft07();
    let settings = settings.with(|it| it.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>()
}

/// The names of a struct's fields as serde knows them, so that no list of them is kept by hand.
pub fn keys<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Names;

    #[derive(Debug)]
    struct Caught(&'static [&'static str]);
    impl std::fmt::Display for Caught {
        fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
            write!(to, "{:?}", self.0)
        }
    }
    impl std::error::Error for Caught {}
    impl serde::de::Error for Caught {
        fn custom<T: std::fmt::Display>(_: T) -> Caught {
            Caught(&[])
        }
    }

    impl<'de> Deserializer<'de> for Names {
        type Error = Caught;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Caught> {
            Err(Caught(&[]))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Caught> {
            Err(Caught(fields))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
            option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier
            ignored_any
        }
    }

    T::deserialize(Names)
        .err()
        .map(|it| it.0)
        .unwrap_or_default()
}
