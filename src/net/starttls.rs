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
    /// `no-starttls` when it does not offer TLS, `protocol` when it speaks another protocol.
    pub fn negotiate(
        self,
        stream: &mut (impl Read + Write),
        name: &str,
        who: &str,
    ) -> Result<(), Fault> {
        let mut talk = Talk {
            stream,
            who,
            heard: Vec::new(),
        };
        match self {
            Starttls::Smtp => talk.mail("EHLO koshu.invalid"),
            Starttls::Lmtp => talk.mail("LHLO koshu.invalid"),
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

    /// The lines of a reply whose last line has a blank after its three digits (RFC 5321, 4.2.1; RFC 959, 4.2).
    fn reply(&mut self) -> Result<Vec<String>, Fault> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            let digits = line.len() >= 3 && line.bytes().take(3).all(|it| it.is_ascii_digit());
            let last = digits && line.as_bytes().get(3) != Some(&b'-');
            if lines.is_empty() && !digits {
                return Err(self.other(&line));
            }
            lines.push(line);
            if last {
                return Ok(lines);
            }
        }
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

    /// RFC 3207, RFC 2033.
    fn mail(&mut self, hello: &str) -> Result<(), Fault> {
        let greeting = self.reply()?;
        if !greeting[0].starts_with("220") {
            return Err(self.other(&greeting[0]));
        }
        self.say(format!("{hello}\r\n").as_bytes())?;
        let offers = self.reply()?;
        let offered = offers.iter().any(|it| {
            it.get(4..)
                .is_some_and(|it| it.trim().eq_ignore_ascii_case("STARTTLS"))
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
        match reply[0].starts_with(code) {
            true => Ok(()),
            false => Err(self.refused(&reply[0])),
        }
    }

    /// RFC 4217.
    fn ftp(&mut self) -> Result<(), Fault> {
        let greeting = self.reply()?;
        if !greeting[0].starts_with("220") {
            return Err(self.other(&greeting[0]));
        }
        self.say(b"AUTH TLS\r\n")?;
        self.accepted("234")
    }

    /// RFC 4642.
    fn nntp(&mut self) -> Result<(), Fault> {
        let greeting = self.reply()?;
        if !greeting[0].starts_with("20") {
            return Err(self.other(&greeting[0]));
        }
        self.say(b"STARTTLS\r\n")?;
        self.accepted("382")
    }

    /// RFC 9051, section 6.2.1.
    fn imap(&mut self) -> Result<(), Fault> {
        let greeting = self.line()?;
        if !greeting.starts_with("* OK") {
            return Err(self.other(&greeting));
        }
        self.say(b"a STARTTLS\r\n")?;
        loop {
            let line = self.line()?;
            match line.strip_prefix("a ") {
                Some(answer) if answer.to_ascii_uppercase().starts_with("OK") => return Ok(()),
                Some(_) => return Err(self.refused(&line)),
                None => (),
            }
        }
    }

    /// RFC 2595, section 4.
    fn pop3(&mut self) -> Result<(), Fault> {
        let greeting = self.line()?;
        if !greeting.starts_with("+OK") {
            return Err(self.other(&greeting));
        }
        self.say(b"STLS\r\n")?;
        let line = self.line()?;
        match line.starts_with("+OK") {
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
                _ if line.to_ascii_uppercase().starts_with("OK") => break,
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
                Some("691" | "421" | "451" | "ERROR") => return Err(self.refused(&line)),
                Some("PING") => self.say(line.replacen("PING", "PONG", 1).as_bytes())?,
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
            // An error packet: "Host … is blocked".
            Some(0xff) => return Err(self.refused(&text(3))),
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
            "</stream:stream>",
        ])?;
        if !features.contains("<stream:stream") && !features.contains("<?xml") {
            return Err(self.other(&features));
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
        let said = match protocol.negotiate(&mut script, "example.jp", "peer") {
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
