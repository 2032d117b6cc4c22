//! The dialogues that come before TLS: STARTTLS of mail, directory, database and chat servers.

use crate::model::outcome::{Code, code};
use crate::model::text;
use crate::net::{Fault, fault};
use serde::Deserialize;
use std::io::{self, Read, Write};

/// A protocol that begins in the clear and asks for TLS.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Starttls {
    Smtp,
    Lmtp,
    Imap,
    Pop3,
    Ftp,
    Ldap,
    Mysql,
    Postgres,
    Xmpp,
    XmppServer,
    Sieve,
    Nntp,
    Irc,
}

/// The findings of these dialogues.
pub const CODES: &[Code] = &[code(
    "no-starttls",
    "CRITICAL",
    "The server does not offer STARTTLS, or refuses it: TLS was switched off, or something in between strips it.",
)];

/// The most that a server may say before TLS begins.
const MOST: usize = 64 << 10;

impl Starttls {
    /// The port where this protocol usually is.
    pub fn port(self) -> u16 {
        match self {
            Starttls::Smtp => 25,
            Starttls::Lmtp => 24,
            Starttls::Imap => 143,
            Starttls::Pop3 => 110,
            Starttls::Ftp => 21,
            Starttls::Ldap => 389,
            Starttls::Mysql => 3306,
            Starttls::Postgres => 5432,
            Starttls::Xmpp => 5222,
            Starttls::XmppServer => 5269,
            Starttls::Sieve => 4190,
            Starttls::Nntp => 119,
            Starttls::Irc => 6667,
        }
    }

    /// Talks until the server waits for the ClientHello.
    ///
    /// # Errors
    /// One of [`CODES`], or `protocol` when it speaks another protocol.
    pub fn negotiate(
        self,
        stream: &mut (impl Read + Write),
        names: &Names,
        who: &str,
    ) -> Result<(), Fault> {
        let mut talk = Talk {
            stream,
            who,
            heard: Vec::new(),
        };
        let Names { name, ehlo } = names;
        match self {
            Starttls::Smtp => talk.mail(&format!("EHLO {ehlo}")),
            Starttls::Lmtp => talk.mail(&format!("LHLO {ehlo}")),
            Starttls::Imap => talk.imap(),
            Starttls::Pop3 => talk.pop3(),
            Starttls::Ftp => talk.ftp(),
            Starttls::Ldap => talk.ldap(),
            Starttls::Mysql => talk.mysql(),
            Starttls::Postgres => talk.postgres(),
            Starttls::Xmpp => talk.xmpp(name, "jabber:client"),
            Starttls::XmppServer => talk.xmpp(name, "jabber:server"),
            Starttls::Sieve => talk.sieve(),
            Starttls::Nntp => talk.nntp(),
            Starttls::Irc => talk.irc(),
        }?;
        // Whatever follows in the clear was slipped in by somebody, or is another protocol (CVE-2011-0411).
        match talk.heard.iter().all(u8::is_ascii_whitespace) {
            true => Ok(()),
            false => Err(talk.other(&String::from_utf8_lossy(&talk.heard))),
        }
    }
}

/// The names that are said in the clear.
#[derive(Clone, Copy)]
pub struct Names<'n> {
    /// Whom we want to speak to.
    pub name: &'n str,
    /// Who we are, in EHLO and LHLO (RFC 5321, section 4.1.1.1).
    pub ehlo: &'n str,
}

/// What is said in EHLO unless the list says otherwise.
pub const EHLO: &str = "koshu.invalid";

/// A conversation in the clear.
struct Talk<'t, S> {
    stream: &'t mut S,
    who: &'t str,
    /// What was read and not yet looked at.
    heard: Vec<u8>,
}

impl<S: Read + Write> Talk<'_, S> {
    fn say(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let told = |error: io::Error| fault(&error, self.who, "before TLS");
        self.stream.write_all(bytes).map_err(told)?;
        self.stream.flush().map_err(told)
    }

    fn hear(&mut self) -> Result<(), Fault> {
        let mut buffer = [0; 2048];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    let error = io::ErrorKind::UnexpectedEof.into();
                    return Err(fault(&error, self.who, "before TLS"));
                }
                Ok(count) => {
                    self.heard.extend_from_slice(&buffer[..count]);
                    return match self.heard.len() > MOST {
                        true => Err(self.other("too much")),
                        false => Ok(()),
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(fault(&error, self.who, "before TLS")),
            }
        }
    }

    /// So many bytes.
    fn take(&mut self, count: usize) -> Result<Vec<u8>, Fault> {
        while self.heard.len() < count {
            self.hear()?;
        }
        Ok(self.heard.drain(..count).collect())
    }

    /// One line without its end.
    fn line(&mut self) -> Result<String, Fault> {
        loop {
            if let Some(end) = self.heard.iter().position(|it| *it == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.hear()?;
        }
    }

    /// The lines of a reply, which ends with the line that has no hyphen after the code of the first one (RFC 5321, 4.2.1; RFC 959, 4.2).
    fn reply(&mut self) -> Result<Vec<String>, Fault> {
        let first = self.line()?;
        let code = first.get(..3).unwrap_or_default().to_owned();
        let digits = code.len() == 3 && code.bytes().all(|it| it.is_ascii_digit());
        let goes_on = |line: &str| match line.strip_prefix(&code) {
            Some(rest) => rest.starts_with('-'),
            None => true,
        };
        if !digits || first[3..].starts_with(|it: char| it.is_alphanumeric()) {
            return Err(self.other(&first));
        }
        let mut lines = vec![first];
        while lines.last().is_some_and(|it| goes_on(it)) {
            lines.push(self.line()?);
        }
        Ok(lines)
    }

    fn other(&self, said: &str) -> Fault {
        let said = text::excerpt(said, 60);
        let text = format!(
            "{} does not speak the protocol, it says \"{said}\"",
            self.who
        );
        Fault::world("protocol", text)
    }

    fn refused(&self, said: &str) -> Fault {
        let said = text::excerpt(said, 60);
        let text = format!("{} does not offer STARTTLS, it says \"{said}\"", self.who);
        Fault::world("no-starttls", text)
    }

    fn turned_away(&self, said: &str) -> Fault {
        let said = text::excerpt(said, 120);
        let text = format!("{} turns us away: \"{said}\"", self.who);
        Fault::world("turned-away", text)
    }

    /// The greeting of a protocol with reply codes: one that is `good`, or what it means instead.
    fn greeting(&mut self, good: &str) -> Result<(), Fault> {
        let greeting = self.reply()?.join(" ");
        match greeting.as_bytes() {
            _ if greeting.starts_with(good) => Ok(()),
            // Temporarily or for ever (RFC 5321, section 4.2.1; RFC 959, section 4.2.1; RFC 3977, section 5.1.1).
            [b'4' | b'5', ..] => Err(self.turned_away(&greeting)),
            _ => Err(self.other(&greeting)),
        }
    }

    /// RFC 3207, RFC 2033.
    fn mail(&mut self, hello: &str) -> Result<(), Fault> {
        self.greeting("220")?;
        self.say(format!("{hello}\r\n").as_bytes())?;
        let offers = self.reply()?;
        match &offers[0][..3] {
            // EHLO is unknown there, and so is STARTTLS.
            "500" | "502" => return Err(self.refused(&offers.join(" "))),
            "421" => return Err(self.turned_away(&offers.join(" "))),
            code if code.starts_with(['4', '5']) => {
                let said = text::excerpt(&offers.join(" "), 120);
                let text = format!("{} does not accept \"{hello}\": \"{said}\"", self.who);
                return Err(Fault::world("ehlo-refused", text));
            }
            _ => (),
        }
        let offered = offers.iter().any(|it| {
            let word = it.get(4..).and_then(|it| it.split_whitespace().next());
            word.is_some_and(|it| it.eq_ignore_ascii_case("STARTTLS"))
        });
        if !offered {
            return Err(self.refused(&offers.join(" ")));
        }
        self.say(b"STARTTLS\r\n")?;
        self.accepted("220")
    }

    /// The reply to the command that begins TLS.
    fn accepted(&mut self, code: &str) -> Result<(), Fault> {
        let reply = self.reply()?;
        match &reply[0] {
            it if it.starts_with(code) => Ok(()),
            it if it.starts_with("421") => Err(self.turned_away(it)),
            it => Err(self.refused(it)),
        }
    }

    /// RFC 4217.
    fn ftp(&mut self) -> Result<(), Fault> {
        loop {
            let greeting = self.reply()?.join(" ");
            match greeting.as_bytes() {
                [b'2', b'2', b'0', ..] => break,
                // "Service ready in nnn minutes": the greeting comes later (RFC 959, section 5.4).
                [b'1', b'2', b'0', ..] => (),
                [b'4' | b'5', ..] => return Err(self.turned_away(&greeting)),
                _ => return Err(self.other(&greeting)),
            }
        }
        self.say(b"AUTH TLS\r\n")?;
        self.accepted("234")
    }

    /// RFC 4642.
    fn nntp(&mut self) -> Result<(), Fault> {
        self.greeting("20")?;
        self.say(b"STARTTLS\r\n")?;
        self.accepted("382")
    }

    /// RFC 9051, section 6.2.1.
    fn imap(&mut self) -> Result<(), Fault> {
        let greeting = self.line()?;
        match () {
            () if begins(&greeting, "* OK") => (),
            () if begins(&greeting, "* BYE") => return Err(self.turned_away(&greeting)),
            // Who is logged in already may not begin TLS.
            () if begins(&greeting, "* PREAUTH") => return Err(self.refused(&greeting)),
            () => return Err(self.other(&greeting)),
        }
        self.say(b"a STARTTLS\r\n")?;
        loop {
            let line = self.line()?;
            match () {
                () if begins(&line, "a OK") => return Ok(()),
                () if begins(&line, "a ") => return Err(self.refused(&line)),
                () if begins(&line, "* BYE") => return Err(self.turned_away(&line)),
                () => (),
            }
        }
    }

    /// RFC 2595, section 4.
    fn pop3(&mut self) -> Result<(), Fault> {
        let greeting = self.line()?;
        match () {
            () if begins(&greeting, "+OK") => (),
            () if begins(&greeting, "-ERR") => return Err(self.turned_away(&greeting)),
            () => return Err(self.other(&greeting)),
        }
        self.say(b"STLS\r\n")?;
        let line = self.line()?;
        match begins(&line, "+OK") {
            true => Ok(()),
            false => Err(self.refused(&line)),
        }
    }

    /// RFC 5804, section 2.2.
    fn sieve(&mut self) -> Result<(), Fault> {
        let mut offered = false;
        loop {
            let line = self.line()?;
            match line.as_bytes() {
                [b'"', ..] => {
                    offered |= line.to_ascii_uppercase().starts_with("\"STARTTLS\"");
                }
                _ if begins(&line, "OK") => break,
                _ if begins(&line, "BYE") || begins(&line, "NO") => {
                    return Err(self.turned_away(&line));
                }
                _ => return Err(self.other(&line)),
            }
        }
        if !offered {
            return Err(self.refused("no such capability"));
        }
        self.say(b"STARTTLS\r\n")?;
        let line = self.line()?;
        match line.to_ascii_uppercase().starts_with("OK") {
            true => Ok(()),
            false => Err(self.refused(&line)),
        }
    }

    /// The IRCv3 extension `tls`: numeric 670 accepts, 691 refuses.
    fn irc(&mut self) -> Result<(), Fault> {
        self.say(b"STARTTLS\r\n")?;
        for _ in 0..100 {
            let line = self.line()?;
            let mut words = line.split(' ');
            let numeric = match line.starts_with(':') {
                true => words.nth(1),
                false => words.next(),
            };
            match numeric {
                Some("670") => return Ok(()),
                // ERR_UNKNOWNCOMMAND, ERR_NOTREGISTERED.
                Some("691" | "421" | "451") => return Err(self.refused(&line)),
                // ERR_YOUREBANNEDCREEP.
                Some("ERROR" | "465") => return Err(self.turned_away(&line)),
                Some("PING") => {
                    let answer = line.replacen("PING", "PONG", 1);
                    self.say(format!("{answer}\r\n").as_bytes())?;
                }
                _ => (),
            }
        }
        Err(self.refused("nothing of the kind"))
    }

    /// RFC 4511, section 4.14: an extended request with the name 1.3.6.1.4.1.1466.20037.
    fn ldap(&mut self) -> Result<(), Fault> {
        let name = b"1.3.6.1.4.1.1466.20037";
        let mut request = vec![0x30, 29, 0x02, 1, 1, 0x77, 24, 0x80, 22];
        request.extend(name);
        self.say(&request)?;
        let [tag, length] = self.take(2)?[..] else {
            return Err(self.other("nothing"));
        };
        let length = match length {
            // The long form of BER, which some servers use for any length.
            0x81..=0x84 => {
                let bytes = self.take(usize::from(length & 0x7f))?;
                bytes
                    .iter()
                    .fold(0usize, |sum, it| sum << 8 | usize::from(*it))
            }
            length => usize::from(length),
        };
        if tag != 0x30 || !(7..=MOST).contains(&length) {
            return Err(self.other("something that is no LDAP message"));
        }
        let message = self.take(length)?;
        // The response's tag is 0x78; in it, the first enumeration is the result code.
        let response = message.iter().position(|it| *it == 0x78);
        let code = response.and_then(|at| {
            let rest = &message[at..];
            let result = rest.windows(2).position(|it| it == [0x0a, 1])?;
            rest.get(result + 2)
        });
        match code {
            Some(0) => Ok(()),
            // busy, unavailable (RFC 4511, appendix A).
            Some(code @ (51 | 52)) => Err(self.turned_away(&format!("result code {code}"))),
            Some(code) => Err(self.refused(&format!("result code {code}"))),
            None => Err(self.other("something that is no extended response")),
        }
    }

    /// PostgreSQL documentation, "SSL Session Encryption".
    fn postgres(&mut self) -> Result<(), Fault> {
        self.say(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])?;
        match self.take(1)?[..] {
            [b'S'] => Ok(()),
            [b'N'] => Err(self.refused("N")),
            [b'E'] => {
                // The error of a server that has no room for us, or is older than TLS in it.
                while !self.heard.contains(&0) && self.hear().is_ok() {}
                let said = String::from_utf8_lossy(&self.heard).into_owned();
                Err(self.turned_away(&said))
            }
            _ => Err(self.other(&String::from_utf8_lossy(&self.heard))),
        }
    }

    /// MySQL documentation, "Protocol::HandshakeV10" and "Protocol::SSLRequest".
    fn mysql(&mut self) -> Result<(), Fault> {
        let header = self.take(4)?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
        if length > 1024 {
            return Err(self.other("something that is no MySQL greeting"));
        }
        let greeting = self.take(length)?;
        let text = |from: usize| {
            let rest = greeting.get(from..).unwrap_or_default();
            String::from_utf8_lossy(rest).into_owned()
        };
        match greeting.first() {
            Some(10) => (),
            // An error packet: "Host … is blocked", "Too many connections".
            Some(0xff) => return Err(self.turned_away(&text(3))),
            _ => return Err(self.other(&text(0))),
        }
        // After the server's version: connection id, eight bytes and a zero, then the capabilities.
        let end = greeting.iter().skip(1).position(|it| *it == 0).unwrap_or(0) + 1;
        let capabilities = match greeting.get(end + 14..end + 16) {
            Some(&[low, high]) => u16::from_le_bytes([low, high]),
            _ => return Err(self.other("something that is no MySQL greeting")),
        };
        const CLIENT_SSL: u16 = 0x0800;
        if capabilities & CLIENT_SSL == 0 {
            return Err(self.refused("no such capability"));
        }
        // CLIENT_PROTOCOL_41, CLIENT_SSL, CLIENT_SECURE_CONNECTION; 16 MiB; utf8.
        let mut request = vec![32, 0, 0, 1];
        request.extend(0x0000_8a00u32.to_le_bytes());
        request.extend([0, 0, 0, 1, 33]);
        request.extend([0; 23]);
        self.say(&request)
    }

    /// RFC 6120, section 5.
    fn xmpp(&mut self, name: &str, namespace: &str) -> Result<(), Fault> {
        let name: String = name
            .chars()
            .filter(|it| !matches!(it, '\'' | '<' | '&'))
            .collect();
        let open = format!(
            "<?xml version='1.0'?><stream:stream xmlns='{namespace}' xmlns:stream='http://etherx.jabber.org/streams' to='{name}' version='1.0'>"
        );
        self.say(open.as_bytes())?;
        let features = self.until(&[
            "</stream:features>",
            "<stream:features/>",
            "</stream:error>",
            "</stream:stream>",
        ])?;
        if !features.contains("<stream:stream") && !features.contains("<?xml") {
            return Err(self.other(&features));
        }
        if let Some(at) = features.find("<stream:error") {
            return Err(self.turned_away(&features[at..]));
        }
        if !features.contains("urn:ietf:params:xml:ns:xmpp-tls") {
            return Err(self.refused("no such feature"));
        }
        self.say(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")?;
        let answer = self.until(&["<proceed", "<failure", "</stream:stream>"])?;
        match answer.contains("<proceed") {
            true => self.until(&[">"]).map(drop),
            false => Err(self.refused(&answer)),
        }
    }

    /// Everything up to and with one of the marks; what is heard after it stays.
    fn until(&mut self, marks: &[&str]) -> Result<String, Fault> {
        loop {
            let heard = String::from_utf8_lossy(&self.heard).into_owned();
            let ends = marks
                .iter()
                .filter_map(|it| Some(heard.find(it)? + it.len()));
            if let Some(end) = ends.min() {
                self.heard = heard.as_bytes()[end..].to_vec();
                return Ok(heard[..end].to_owned());
            }
            self.hear()?;
        }
    }
}

/// Whether a line begins with these words, in whatever case.
fn begins(line: &str, words: &str) -> bool {
    let head = line.as_bytes().get(..words.len());
    head.is_some_and(|it| it.eq_ignore_ascii_case(words.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// A server that says its next line whenever it is listened to, and remembers what it was told.
    struct Script {
        says: VecDeque<Vec<u8>>,
        told: Vec<u8>,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(next) = self.says.front_mut() else {
                return Ok(0);
            };
            let count = next.len().min(buffer.len());
            buffer[..count].copy_from_slice(&next[..count]);
            next.drain(..count);
            if next.is_empty() {
                self.says.pop_front();
            }
            Ok(count)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.told.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn talk(protocol: Starttls, says: &[&[u8]]) -> (String, Vec<u8>) {
        let says = says.iter().filter(|it| !it.is_empty());
        let mut script = Script {
            says: says.map(|it| it.to_vec()).collect(),
            told: Vec::new(),
        };
        let names = Names {
            name: "example.jp",
            ehlo: EHLO,
        };
        let said = match protocol.negotiate(&mut script, &names, "peer") {
            Ok(()) => "TLS".to_owned(),
            Err(Fault::World { code, .. }) => code.to_owned(),
            Err(other) => format!("{other}"),
        };
        (said, script.told)
    }

    fn said(protocol: Starttls, says: &[&[u8]]) -> String {
        talk(protocol, says).0
    }

    #[test]
    fn line_protocols_begin_tls() {
        let smtp: &[&[u8]] = &[
            b"220-hello\r\n220 there\r\n",
            b"250-mx\r\n250-SIZE 1\r\n250 STARTTLS\r\n",
            b"220 go\r\n",
        ];
        let (end, told) = talk(Starttls::Smtp, smtp);
        assert_eq!(end, "TLS");
        assert_eq!(told, b"EHLO koshu.invalid\r\nSTARTTLS\r\n");
        assert_eq!(said(Starttls::Ftp, &[b"220 x\r\n", b"234 y\r\n"]), "TLS");
        assert_eq!(said(Starttls::Nntp, &[b"201 x\r\n", b"382 y\r\n"]), "TLS");
        assert_eq!(
            said(
                Starttls::Imap,
                &[b"* OK x\r\n", b"* CAPABILITY\r\na ok y\r\n"]
            ),
            "TLS"
        );
        assert_eq!(said(Starttls::Pop3, &[b"+OK x\r\n", b"+OK y\r\n"]), "TLS");
        assert_eq!(
            said(
                Starttls::Sieve,
                &[
                    b"\"IMPLEMENTATION\" \"x\"\r\n\"STARTTLS\"\r\nOK\r\n",
                    b"OK\r\n"
                ]
            ),
            "TLS"
        );
        assert_eq!(
            said(
                Starttls::Irc,
                &[b":s NOTICE * :hi\r\n", b":s 670 * :go\r\n"]
            ),
            "TLS"
        );
    }

    #[test]
    fn a_capability_that_has_vanished_has_its_own_code() {
        let stripped: &[(Starttls, &[&[u8]])] = &[
            (Starttls::Smtp, &[b"220 x\r\n", b"250-mx\r\n250 SIZE 1\r\n"]),
            (
                Starttls::Smtp,
                &[b"220 x\r\n", b"250 STARTTLS\r\n", b"454 no\r\n"],
            ),
            (Starttls::Ftp, &[b"220 x\r\n", b"530 no\r\n"]),
            (Starttls::Nntp, &[b"200 x\r\n", b"580 no\r\n"]),
            (Starttls::Imap, &[b"* OK x\r\n", b"a BAD no\r\n"]),
            (Starttls::Pop3, &[b"+OK x\r\n", b"-ERR no\r\n"]),
            (Starttls::Sieve, &[b"\"SASL\" \"PLAIN\"\r\nOK\r\n"]),
            (Starttls::Irc, &[b":s 421 * STARTTLS :Unknown command\r\n"]),
            (Starttls::Postgres, &[b"N"]),
            (
                Starttls::Ldap,
                &[&[0x30, 12, 2, 1, 1, 0x78, 7, 0x0a, 1, 2, 4, 0, 4, 0]],
            ),
            (
                Starttls::Xmpp,
                &[b"<stream:stream id='1'><stream:features></stream:features>"],
            ),
        ];
        for (protocol, says) in stripped {
            assert_eq!(said(*protocol, says), "no-starttls", "{protocol:?}");
        }
    }

    #[test]
    fn who_is_turned_away_is_told_so() {
        let blocked = b"\x0b\0\0\0\xff\x69\x04Too many";
        let away: &[(Starttls, &[&[u8]])] = &[
            (Starttls::Smtp, &[b"421 too busy\r\n"]),
            (Starttls::Smtp, &[b"554-go\r\n554 away\r\n"]),
            (Starttls::Smtp, &[b"220 x\r\n", b"421 too slow\r\n"]),
            (Starttls::Lmtp, &[b"450 later\r\n"]),
            (Starttls::Imap, &[b"* BYE full\r\n"]),
            (Starttls::Imap, &[b"* bye full\r\n"]),
            (Starttls::Pop3, &[b"-ERR full\r\n"]),
            (Starttls::Pop3, &[b"-err full\r\n"]),
            (Starttls::Ftp, &[b"421 full\r\n"]),
            (Starttls::Ftp, &[b"530 not you\r\n"]),
            (Starttls::Nntp, &[b"502 not you\r\n"]),
            (Starttls::Sieve, &[b"BYE \"full\"\r\n"]),
            (Starttls::Irc, &[b"ERROR :Closing Link\r\n"]),
            (Starttls::Mysql, &[blocked]),
            (Starttls::Postgres, &[b"Esorry, too many clients\0"]),
            (
                Starttls::Xmpp,
                &[b"<?xml version='1.0'?><stream:stream><stream:error><host-unknown/></stream:error>"],
            ),
            (
                Starttls::Ldap,
                &[&[0x30, 12, 2, 1, 1, 0x78, 7, 0x0a, 1, 51, 4, 0, 4, 0]],
            ),
        ];
        for (protocol, says) in away {
            assert_eq!(said(*protocol, says), "turned-away", "{protocol:?}");
        }
    }

    #[test]
    fn a_name_that_is_refused_is_not_a_lack_of_tls() {
        for (reply, code) in [
            (&b"501 syntax\r\n"[..], "ehlo-refused"),
            (b"550-who\r\n550 are you\r\n", "ehlo-refused"),
            (b"504 need a full name\r\n", "ehlo-refused"),
            (b"450 cannot find you\r\n", "ehlo-refused"),
            (b"502 not implemented\r\n", "no-starttls"),
            (b"500 unknown\r\n", "no-starttls"),
        ] {
            assert_eq!(said(Starttls::Smtp, &[b"220 x\r\n", reply]), code);
        }
    }

    #[test]
    fn replies_end_at_the_code_with_which_they_began() {
        // RFC 959, section 4.2: lines between may begin with digits, too.
        let ftp: &[&[u8]] = &[
            b"220-welcome\r\n 220 not yet\r\n226 files\r\n220- more\r\n220 now\r\n",
            b"234-go\r\n500 on\r\n234\r\n",
        ];
        assert_eq!(said(Starttls::Ftp, ftp), "TLS");
        let later: &[&[u8]] = &[b"120 in a minute\r\n", b"220 now\r\n", b"234 go\r\n"];
        assert_eq!(said(Starttls::Ftp, later), "TLS");
        let smtp: &[&[u8]] = &[
            b"220-hello\r\n250 not yet\r\n220 there\r\n",
            b"250-mx\r\n250 starttls\r\n",
            b"220 go\r\n",
        ];
        assert_eq!(said(Starttls::Smtp, smtp), "TLS");
    }

    #[test]
    fn greetings_may_be_in_any_case() {
        let imap: &[&[u8]] = &[b"* ok ready\r\n", b"a ok go\r\n"];
        assert_eq!(said(Starttls::Imap, imap), "TLS");
        assert_eq!(said(Starttls::Pop3, &[b"+ok x\r\n", b"+Ok y\r\n"]), "TLS");
        assert_eq!(
            said(Starttls::Sieve, &[b"\"starttls\"\r\nok\r\n", b"Ok\r\n"]),
            "TLS"
        );
        assert_eq!(said(Starttls::Imap, &[b"* PREAUTH you\r\n"]), "no-starttls");
    }

    #[test]
    fn binary_protocols_begin_tls() {
        assert_eq!(said(Starttls::Postgres, &[b"S"]), "TLS");
        let (end, told) = talk(
            Starttls::Ldap,
            &[&[0x30, 12, 2, 1, 1, 0x78, 7, 0x0a, 1, 0, 4, 0, 4, 0]],
        );
        assert_eq!((end.as_str(), told.len()), ("TLS", 31));
        let mut greeting = vec![10];
        greeting.extend(b"8.0\0");
        greeting.extend([1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0xff, 0xff, 33]);
        let length = greeting.len() as u8;
        let packet: Vec<u8> = [length, 0, 0, 0].into_iter().chain(greeting).collect();
        let (end, told) = talk(Starttls::Mysql, &[&packet]);
        assert_eq!((end.as_str(), told.len()), ("TLS", 36));
        let mut without = packet.clone();
        without[23] &= !0x08;
        assert_eq!(said(Starttls::Mysql, &[&without]), "no-starttls");
        let features = b"<?xml version='1.0'?><stream:stream><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";
        assert_eq!(
            said(
                Starttls::XmppServer,
                &[features, b"<proceed ", b"xmlns='x'/>"]
            ),
            "TLS"
        );
    }

    #[test]
    fn another_protocol_is_told_from_a_refusal() {
        for protocol in [
            Starttls::Smtp,
            Starttls::Imap,
            Starttls::Pop3,
            Starttls::Sieve,
            Starttls::Postgres,
        ] {
            assert_eq!(
                said(protocol, &[b"SSH-2.0-OpenSSH\r\n"]),
                "protocol",
                "{protocol:?}"
            );
        }
        assert_eq!(said(Starttls::Smtp, &[b"220 x\r\n"]), "closed");
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_dialogue_panic_or_hang(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            use Starttls::*;
            for protocol in [Smtp, Lmtp, Imap, Pop3, Ftp, Ldap, Mysql, Postgres, Xmpp, XmppServer, Sieve, Nntp, Irc] {
                let _ = said(protocol, &[&bytes]);
            }
        }
    }
}
