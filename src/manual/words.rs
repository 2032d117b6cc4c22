//! What a person asks `explain` besides types and findings: how values are written, and what the states mean.

/// A word and what there is to know of it.
pub const WORDS: &[(&str, &str)] = &[
    ("limits", LIMITS),
    ("range", LIMITS),
    ("duration", DURATION),
    ("size", SIZE),
    ("pattern", PATTERN),
    ("glob", PATTERN),
    ("secret", SECRET),
    ("state", STATES),
    ("states", STATES),
    ("ok", OK),
    ("warning", WARNING),
    ("critical", CRITICAL),
    ("unknown", UNKNOWN),
];

const LIMITS: &str = "\
limits: when a number is a WARNING, and when it is CRITICAL

  \"80%,90%\"    WARNING from 80%, CRITICAL from 90%; the same as { warn = \"80%\", crit = \"90%\" }
  \"80%,\"       WARNING alone
  \",90%\"       CRITICAL alone

A bare value alarms in the bad direction of its metric: above for `time` and `used`, below for `left` and `free`. What has no bad direction (`count`) takes ranges only.

Ranges, as the Nagios plugin guidelines write them:

  \"10\"         alarms outside of 0 to 10
  \"10:\"        alarms below 10
  \"~:10\"       alarms above 10
  \"10:20\"      alarms outside of 10 to 20
  \"@10:20\"     alarms inside of 10 to 20

A list of limits, as [\"25%\", \"30d\"], alarms only where all of its members do. Limits that can never alarm are refused.
";

const DURATION: &str = "\
duration: a time with its unit

  \"500ms\"      milliseconds
  \"10s\"        seconds
  \"5m\"         minutes
  \"2h\"         hours
  \"30d\"        days
  \"2w\"         weeks
  \"1.5h\"       a part of one

A number without a unit is refused: it would be seconds to one reader and milliseconds to another.
";

const SIZE: &str = "\
size: a number of bytes with its unit

  \"500B\"       bytes
  \"10KiB\"      1024 bytes each; MiB, GiB, TiB and PiB likewise
  \"10kB\"       1000 bytes each; MB, GB, TB and PB likewise

Where a part of the whole makes sense, `\"90%\"` is a size, too.
";

const PATTERN: &str = "\
pattern: what a text or a name must look like

Names, paths and hosts take wildcards:

  *            any characters; in a path none of them is /
  ?            one character
  **           in a path, all folders below

Every other character stands for itself, brackets included: `[2026]` in a path is that text.

Text (`body`, `contains`, `match` of a process) takes regular expressions:

  'add to cart'     the text anywhere
  '^OK$'            a whole line with (?m), else the whole text
  '(?i)error'       in upper and lower case
  '\\d+'             digits; write it in single quotes, since \"\\d\" is no string of TOML
";

const SECRET: &str = "\
secret: a value that is never printed

  { env = \"NAME\" }     read from the environment
  { file = \"PATH\" }    read from a file that holds nothing else
  \"…\"                  written out; koshu validate warns where others may read the list
";

const STATES: &str = "\
states: what a check can be, in the order of their badness

  OK           exit code 0: nothing to do
  WARNING      exit code 1: somebody should look in working hours
  UNKNOWN      exit code 3: koshu could not look, and nobody knows how it is
  CRITICAL     exit code 2: somebody should act now

A run has the worst state of its checks, after groups, needs, windows and ceilings. Keys that take a state: `late`, `at_most`, and `grade` for a single finding.
";

const OK: &str = "\
ok: nothing is wrong (exit code 0)

As a value, grade = { FINDING = \"ok\" } makes a finding a note, and at_most = \"ok\" keeps a check from ever alarming.
";

const WARNING: &str = "\
warning: somebody should look in working hours (exit code 1)

As a value, grade = { FINDING = \"warning\" } gives a finding this state, and at_most = \"warning\" keeps a check from waking anybody.
";

const CRITICAL: &str = "\
critical: somebody should act now (exit code 2)

As a value, grade = { FINDING = \"critical\" } gives a finding this state.
";

const UNKNOWN: &str = "\
unknown: koshu could not look, so nobody knows how it is (exit code 3)

A permission, a file, a resolver or a program that koshu needs is missing, the list is wrong, or the run's deadline came first. The text says which. A peer that does not answer is no UNKNOWN: that is `late`, or CRITICAL.

It is also a finding of every type: grade = { unknown = \"warning\" } gives it another state.
";

/// What is told of a word.
pub fn told(word: &str) -> Option<&'static str> {
    let word = word.to_lowercase();
    WORDS.iter().find(|it| it.0 == word).map(|it| it.1)
}
