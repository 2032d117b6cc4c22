//! Two thousand lists that were broken at random, each with secrets in it: no message about them shows one.

use super::{Source, parse};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Secrets of the shapes that people use, none of which may come back, not even a part of it.
const SECRETS: [&str; 6] = [
    "hunter2-7f3a-Zq9",
    "correct horse battery",
    "eyJhbGciOiJIUzI1NiJ9.e30.dBjftJeZ4CVP",
    "p@ss/w0rd:9%x=zz",
    "T00000000/B00000000/XXXXqqqqXXXX",
    "s3cr3t\\\\d{7}qv",
];

/// Lists as people have them; § stands for a secret.
const LISTS: [&str; 7] = [
    "[[check]]\nname = \"shop\"\ntype = \"http\"\nurl = \"https://koshu:§@shop.example.jp/?token=§\"\nbearer = \"§\"\nheaders = { X-Api-Key = \"§\", Authorization = 'Bearer §' }\nbody = \"§\"\ntimeout = \"5s\"\n",
    "[defaults]\ntimeout = '10s'\nowner = '§'\n[[check]]\ntype = 'http'\nurl = 'http://h/hooks/§'\nuser = 'u'\npassword = '''\n§\n'''\ndata = \"\"\"\n{\"key\": \"§\"}\n\"\"\"\nstatus = [200, '2xx']\n",
    "[[check]]\ntype = 'plugin'\ncommand = 'check_x -H h -p § --token=§'\nenv = { PGPASSWORD = '§' }\ntimeout = '1m'\n[[check]]\ntype = 'plugin'\nname = 'y'\ncommand = ['check_y', '-a', '§']\n",
    "[[to]]\nurl = 'icinga2+https://mon.example.jp:5665/'\nuser = 'u'\npassword = '§'\n[[to]]\nurl = 'webhook+https://hooks.example.jp/services/§?key=§'\ntoken = '§'\n[[check]]\ntype = 'disk'\npath = '/'\nused = '80%,90%'\n",
    "[[check]]\ntype = 'cert'\nfile = '/etc/x.p12'\npassword = '§'\nleft = '30d,14d'\n[[check]]\ntype = 'tcp'\nhost = 'h:1'\nsend = \"AUTH §\\r\\n\"\nexpect = '§'\n[[group]]\nname = 'g'\nmembers = ['tcp*']\naction = 'ask §'\n",
    "check = [{ type = 'http', url = 'http://h/', proxy = 'http://u:§@p:3128', proxy_password = '§', json = { 'a.b' = '§' } }]\n[history]\nkeep = '90d'\n",
    "# the password is §\n[[check]]\ntype = 'file'\npath = '/x'\ncontent = { regex = '§' }\nrunbook = 'https://wiki.example.jp/?t=§'\nwhat = '§'\n[[window]]\nname = 'w'\nwhen = 'Sun 02:00-04:00'\nzone = 'Asia/Tokyo'\n",
];

/// Keys of koshu and of others, so that a key becomes another one; none that takes a closed kind of value, where a
/// short plain value may be shown.
const KEYS: [&str; 12] = [
    "bearer",
    "bearr",
    "api-key",
    "X-Api-Key",
    "\"a key\"",
    "password",
    "passwrd",
    "body",
    "url",
    "headers.X-Token",
    "foo",
    "host",
];

/// What gets lost or comes in.
const PIECES: [&str; 22] = [
    "\"",
    "'",
    "=",
    ":",
    "\n",
    "[",
    "]",
    "{",
    "}",
    ",",
    "#",
    "\\",
    "\"\"\"",
    "'''",
    " ",
    "“",
    "\\d",
    "[[check]]\n",
    "\t",
    "\u{7}",
    "|",
    "a = ",
];

/// Numbers at random, the same in every run (xorshift64, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most.max(1) as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// One thing that goes wrong when a list is written or edited.
fn broken(text: &str, dice: &mut Dice) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        lines.push(String::new());
    }
    let line = dice.below(lines.len());
    let at = text.floor_char_boundary(dice.below(text.len()));
    match dice.below(12) {
        0 => return format!("{}{}{}", &text[..at], dice.one(&PIECES), &text[at..]),
        1 => {
            let rest = text[at..].chars().next().map_or(0, char::len_utf8);
            return format!("{}{}", &text[..at], &text[at + rest..]);
        }
        2 => return text[..at].to_owned(),
        3 => lines[line].clear(),
        4 => lines.insert(line, lines[line].clone()),
        5 => lines.swap(line, 0),
        6 => lines[line] = lines[line].replace(['"', '\''], ""),
        7 => lines[line] = lines[line].replacen('=', ":", 1),
        8 => lines[line] = lines[line].replacen(" = ", " ", 1),
        9 => {
            if let Some((_, value)) = lines[line].split_once(" = ") {
                lines[line] = format!("{} = {value}", dice.one(&KEYS));
            }
        }
        10 if line + 1 < lines.len() => {
            let next = lines.remove(line + 1);
            lines[line].push_str(&next);
        }
        _ => {
            let (quote, other) = (*dice.one(&["\"", "'"]), *dice.one(&["", "\"\"", "'", "\""]));
            lines[line] = lines[line].replacen(quote, other, 1);
        }
    }
    lines.join("\n") + "\n"
}

/// A part of a secret in a text, if there is one: seven characters that stand together.
fn leak<'s>(text: &str, secret: &'s str) -> Option<&'s str> {
    let chars: Vec<usize> = secret.char_indices().map(|it| it.0).collect();
    let parts = chars.windows(8).map(|it| &secret[it[0]..it[7]]);
    parts.into_iter().find(|it| text.contains(it))
}

#[test]
fn no_message_about_a_broken_list_shows_a_secret() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut mistakes = 0;
    for number in 0..4000 {
        let secret = *dice.one(&SECRETS);
        let mut text = dice
            .one(&LISTS)
            .replace('§', secret)
            .replace(&format!("{secret}un 02"), "Sun 02");
        for _ in 0..=dice.below(3) {
            text = broken(&text, &mut dice);
        }
        let begin = Instant::now();
        let source = Source::new("checks.toml", text.clone(), PathBuf::new());
        let Err(wrong) = parse(&[source]) else {
            continue;
        };
        mistakes += 1;
        let told = format!("{}\n{wrong}", wrong.headline());
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(1), "{number}: {took:?}\n{text}");
        assert!(!wrong.headline().contains('\n'), "{number}: {told}");
        let found = leak(&told, secret);
        assert_eq!(found, None, "list {number}\n{text}\n---\n{told}");
    }
    assert!(mistakes > 2000, "{mistakes} lists have mistakes");
}
