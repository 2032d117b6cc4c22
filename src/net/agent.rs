//! One HTTP exchange: ureq speaks the protocol, koshu dials, secures and times the connection.
//!
//! The only file that knows ureq's transport traits, which are outside its semantic versioning.

use crate::model::text;
use crate::net::detour::{self, Detour, Wish};
use crate::net::dial::{Conn, Stream, dial, dial_unix};
use crate::net::lenient::{End, Head, Reader, Wrong};
use crate::net::tls::{Offer, Peer};
use crate::net::{self, Family, Fault};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::http::{self, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Accepts what a peer showed for a name, or says what is wrong with it.
pub type Judge = Arc<dyn Fn(&Peer, &str) -> Result<(), Fault> + Send + Sync>;

/// How to reach the server; what the request says stays apart from it.
#[derive(Clone)]
pub struct Reach {
    pub family: Family,
    pub resolver: net::Resolver,
    pub way: Way,
    /// The name to ask for in TLS, instead of the URL's host.
    pub sni: Option<String>,
    pub offer: Offer,
    /// Whether to say in a PROXY line for whom this connection is made.
    pub proxy_line: bool,
    pub deadline: Instant,
    /// Judges the chain before anything is sent over TLS; an error ends the exchange.
    pub judge: Judge,
    /// What makes TLS with servers that are too old for the library.
    pub detour: Option<Arc<dyn Detour>>,
}

impl Reach {
    /// Straight to the URL's host over whatever TLS it speaks.
    pub fn direct(deadline: Instant, judge: Judge) -> Reach {
        Reach {
            family: Family::Any,
            resolver: Arc::new(net::resolve),
            way: Way::Direct,
            sni: None,
            offer: Offer::default(),
            proxy_line: false,
            deadline,
            judge,
            detour: None,
        }
    }
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    /// To the URL's host.
    Direct,
    /// To this host and port, whatever the URL's host resolves to.
    Address(String, Option<u16>),
    /// To a Unix domain socket.
    Unix(PathBuf),
    Proxy(Proxy),
}

/// A proxy for HTTP (RFC 9110, sections 7.3.2 and 9.3.6).
#[derive(Clone, Debug, PartialEq)]
pub struct Proxy {
    pub host: String,
    pub port: u16,
    /// The value of Proxy-Authorization.
    pub login: Option<String>,
}

/// How long each phase took; those of several exchanges add up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases {
    pub resolve: Duration,
    pub connect: Duration,
    pub tls: Option<Duration>,
    pub first_byte: Duration,
    pub transfer: Duration,
}

impl Phases {
    pub fn add(&mut self, other: &Phases) {
        self.resolve += other.resolve;
        self.connect += other.connect;
        self.tls = match (self.tls, other.tls) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        self.first_byte += other.first_byte;
        self.transfer += other.transfer;
    }
}

/// What was seen of the connection.
#[derive(Default)]
struct Trace {
    /// Who was asked, as an address once it is known.
    who: String,
    address: Option<SocketAddr>,
    doing: &'static str,
    passed_over: Vec<String>,
    fault: Option<Fault>,
    phases: Phases,
    /// When the request could be sent, and when the first byte of the response came.
    ready: Option<Instant>,
    first: Option<Instant>,
    head: Option<Head>,
    ending: Ending,
    /// How long the longest line of the request is.
    longest: usize,
    peer: Option<Peer>,
}

/// Where a body ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Ending {
    /// Where it said, or where the connection was closed as it should.
    #[default]
    Whole,
    /// Before that; the text says after how many bytes, and who broke off.
    CutOff(String),
    /// Where the connection was reset, behind a body that does not say how long it is: it may be whole.
    Broken(String),
    /// Where the connection was closed without the word with which TLS ends (RFC 8446, section 6.1): it may be whole.
    Unclosed,
}

/// How much is read and written at once; thousands of connections have a buffer each.
const BUFFER: usize = 4 << 10;
/// How much of a proxy's answer is read.
const TUNNEL: usize = 16 << 10;

/// A response with as much of its body as was wanted.
pub struct Response {
    pub status: http::StatusCode,
    /// The status line as it was sent (RFC 9112, section 4).
    pub line: String,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
    /// Whether the body has more than was wanted.
    pub cut: bool,
    pub ending: Ending,
    pub who: String,
    pub address: Option<SocketAddr>,
    pub passed_over: Vec<String>,
    pub phases: Phases,
    /// What the server showed in TLS.
    pub peer: Option<Peer>,
}

/// A request as texts.
pub struct Request<'r> {
    pub method: &'r str,
    pub url: &'r str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// Sends requests to one server, over one connection where the server keeps it.
pub struct Session {
    agent: ureq::Agent,
    trace: Arc<Mutex<Trace>>,
}

impl Session {
    /// A session that keeps at most so many connections from one request to the next.
    pub fn new(reach: &Reach, kept: usize) -> Session {
        let trace = Arc::new(Mutex::new(Trace::default()));
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(kept)
            .max_idle_connections_per_host(kept)
            .allow_non_standard_methods(true)
            .user_agent(concat!("koshu/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .build();
        let dialler = Dialler {
            reach: reach.clone(),
            trace: trace.clone(),
            kept: kept > 0,
        };
        Session {
            agent: ureq::Agent::with_parts(config, dialler, Nowhere),
            trace,
        }
    }

    /// Sends one request that is put together from texts.
    ///
    /// # Errors
    /// As [`Session::send`]; Me: what is no request. Nothing of its headers is said, because they hold secrets.
    pub fn ask(&self, request: &Request, limit: u64) -> Result<Response, Fault> {
        let mut whole = http::Request::builder()
            .method(request.method)
            .uri(request.url);
        for (name, value) in &request.headers {
            whole = whole.header(*name, value);
        }
        let whole = whole.body(request.body.clone());
        let whole = whole.map_err(|_| {
            let text =
                "the URL, the password or the token has a character that no request may have";
            Fault::Me(anyhow::anyhow!(text))
        })?;
        whole_body(self.send(whole, limit)?)
    }

    /// Sends one request and reads the response, of its body at most `limit` bytes.
    ///
    /// # Errors
    /// For everything that is no HTTP response.
    pub fn send(&self, request: http::Request<Vec<u8>>, limit: u64) -> Result<Response, Fault> {
        let trace = &self.trace;
        // Who answers on a connection that is kept was said when it was opened.
        let known = std::mem::take(&mut lock(trace).who);
        *lock(trace) = Trace {
            who: match known.is_empty() {
                true => request.uri().host().unwrap_or_default().to_owned(),
                false => known,
            },
            doing: "sending the request",
            longest: longest_line(&request),
            ..Trace::default()
        };
        let (parts, body) = request.into_parts();
        // Without a body nothing is said of its length, as browsers do it.
        let run = match body.is_empty() {
            true => self.agent.run(http::Request::from_parts(parts, ())),
            false => self.agent.run(http::Request::from_parts(parts, body)),
        };
        let result = run.and_then(|response| {
            let (parts, body) = response.into_parts();
            let mut bytes = Vec::new();
            lock(trace).doing = "reading the body";
            let mut reader = body.into_with_config().limit(u64::MAX).reader();
            let read = (&mut reader).take(limit + 1).read_to_end(&mut bytes);
            match read.map_err(|it| it.downcast::<ureq::Error>()) {
                Ok(_) => Ok((parts.status, bytes)),
                // What came before it broke off is a part of the page.
                Err(_) if matches!(lock(trace).ending, Ending::CutOff(_)) => {
                    Ok((parts.status, bytes))
                }
                Err(Ok(inner)) => Err(inner),
                Err(Err(it)) => Err(ureq::Error::Io(it)),
            }
        });
        let mut trace = lock(trace);
        let (status, mut body) = result.map_err(|error| told(error, &mut trace))?;
        let head = trace.head.take().unwrap_or_default();
        let cut = body.len() as u64 > limit;
        body.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        if let (Some(ready), Some(first)) = (trace.ready, trace.first) {
            trace.phases.first_byte = first - ready;
            trace.phases.transfer = first.elapsed();
        }
        Ok(Response {
            line: head.line,
            status,
            headers: head.fields,
            body,
            cut,
            ending: std::mem::take(&mut trace.ending),
            who: trace.who.clone(),
            address: trace.address,
            passed_over: std::mem::take(&mut trace.passed_over),
            phases: trace.phases,
            peer: trace.peer.take(),
        })
    }
}

/// Sends one request over a connection of its own.
///
/// # Errors
/// As [`Session::send`].
pub fn exchange(
    request: http::Request<Vec<u8>>,
    reach: &Reach,
    limit: u64,
) -> Result<Response, Fault> {
    Session::new(reach, 0).send(request, limit)
}

/// Asks for one document.
///
/// # Errors
/// As [`exchange`]; Me: what is no URL.
pub fn get(url: &str, reach: &Reach, limit: u64) -> Result<Response, Fault> {
    let request = http::Request::get(url).body(Vec::new());
    let request =
        request.map_err(|it| Fault::Me(anyhow::anyhow!("{url} cannot be asked for: {it}")))?;
    whole_body(exchange(request, reach, limit)?)
}

/// Refuses a response whose body is cut off, for whom a part of it is nothing.
fn whole_body(response: Response) -> Result<Response, Fault> {
    match response.ending {
        Ending::CutOff(why) | Ending::Broken(why) => {
            Err(Fault::world("cut-off", format!("the answer is {why}")))
        }
        Ending::Whole | Ending::Unclosed => Ok(response),
    }
}

/// How long the longest line of a request is, which has to fit into the buffer from which it is sent.
fn longest_line(request: &http::Request<Vec<u8>>) -> usize {
    let first = request.method().as_str().len() + request.uri().to_string().len();
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len());
    // The version, a colon, a line end.
    headers.fold(first, usize::max) + 32
}

fn lock(trace: &Mutex<Trace>) -> std::sync::MutexGuard<'_, Trace> {
    trace.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a failed exchange means.
fn told(error: ureq::Error, trace: &mut Trace) -> Fault {
    if let Some(fault) = trace.fault.take() {
        return fault;
    }
    let who = &trace.who;
    match error {
        ureq::Error::Io(error) => net::fault(&error, who, trace.doing),
        ureq::Error::Protocol(error) => Fault::world(
            "not-http",
            format!("{who} does not answer in HTTP: {error}"),
        ),
        ureq::Error::Http(error) => Fault::world(
            "not-http",
            format!("{who} does not answer in HTTP: {error}"),
        ),
        other => Fault::Me(anyhow::anyhow!("{who}: {other}, {}", trace.doing)),
    }
}

/// Resolves nothing: the dialler does it, because it knows the deadline and tells world from us.
#[derive(Debug)]
struct Nowhere;

impl Resolver for Nowhere {
    fn resolve(
        &self,
        _: &Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from((IpAddr::from([0, 0, 0, 0]), 0)));
        Ok(addresses)
    }
}

struct Dialler {
    reach: Reach,
    trace: Arc<Mutex<Trace>>,
    /// Whether a connection may be used again.
    kept: bool,
}

impl std::fmt::Debug for Dialler {
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        to.write_str("Dialler")
    }
}

impl Connector for Dialler {
    type Out = Wire;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<()>,
    ) -> Result<Option<Wire>, ureq::Error> {
        let config = details.config;
        match self.open(details.uri) {
            Ok(conn) => {
                let mut trace = lock(&self.trace);
                trace.ready = Some(Instant::now());
                let output = config.output_buffer_size().max(trace.longest);
                Ok(Some(Wire {
                    conn,
                    trace: self.trace.clone(),
                    buffers: LazyBuffers::new(config.input_buffer_size(), output),
                    reader: Reader::new(),
                    ready: Vec::new(),
                    absolute: self.absolute(details.uri),
                    kept: self.kept,
                }))
            }
            Err(fault) => {
                lock(&self.trace).fault = Some(fault);
                Err(ureq::Error::ConnectionFailed)
            }
        }
    }
}

fn is_secure(uri: &Uri) -> bool {
    uri.scheme() == Some(&http::uri::Scheme::HTTPS)
}

/// The URL's host, an IPv6 address without its brackets.
fn name_of(uri: &Uri) -> &str {
    let name = uri.host().unwrap_or_default();
    name.trim_start_matches('[').trim_end_matches(']')
}

impl Dialler {
    fn open(&self, uri: &Uri) -> Result<Conn, Fault> {
        let stream = self.to_server(uri)?;
        if !is_secure(uri) {
            return Ok(Conn::Plain(stream));
        }
        let Reach { sni, offer, .. } = &self.reach;
        let who = lock(&self.trace).who.clone();
        let name = sni.as_deref().unwrap_or(name_of(uri));
        let start = Instant::now();
        let at = lock(&self.trace).address;
        let wish = Wish {
            name,
            who: &who,
            offer,
            judge: &*self.reach.judge,
            detour: self.reach.detour.as_deref(),
        };
        let (conn, peer) = detour::secure(stream, at, &wish, || self.to_server(uri))?;
        let mut trace = lock(&self.trace);
        trace.phases.tls = Some(start.elapsed());
        trace.peer = Some(peer);
        Ok(conn)
    }

    /// A connection on which the server of a URL listens, past what stands in between.
    fn to_server(&self, uri: &Uri) -> Result<Stream, Fault> {
        let Reach { way, .. } = &self.reach;
        let name = name_of(uri);
        let port = uri
            .port_u16()
            .unwrap_or(if is_secure(uri) { 443 } else { 80 });
        let mut stream = match way {
            Way::Direct => self.dial(name, port)?,
            Way::Address(host, at) => self.dial(host, at.unwrap_or(port))?,
            Way::Proxy(proxy) => self.dial(&proxy.host, proxy.port)?,
            Way::Unix(path) => {
                lock(&self.trace).who = path.display().to_string();
                let start = Instant::now();
                let stream = dial_unix(path, self.reach.deadline)?;
                lock(&self.trace).phases.connect = start.elapsed();
                stream
            }
        };
        let who = lock(&self.trace).who.clone();
        if self.reach.proxy_line {
            let line = proxy_line(&stream);
            let sent = stream.write_all(line.as_bytes());
            sent.map_err(|it| net::fault(&it, &who, "sending the PROXY line"))?;
        }
        if let (true, Way::Proxy(proxy)) = (is_secure(uri), way) {
            tunnel(&mut stream, proxy, uri, port, &who)?;
        }
        Ok(stream)
    }

    fn dial(&self, host: &str, port: u16) -> Result<Stream, Fault> {
        let Reach {
            family, deadline, ..
        } = self.reach;
        let start = Instant::now();
        let addresses = (self.reach.resolver)(host, port, family, deadline)?;
        let resolved = Instant::now();
        let dialled = dial(&addresses, deadline)?;
        let mut trace = lock(&self.trace);
        trace.phases.resolve = resolved - start;
        trace.phases.connect = resolved.elapsed();
        trace.who = match net::literal(host) {
            Ok(None) => format!("{host} ({})", dialled.peer),
            _ => dialled.peer.to_string(),
        };
        trace.address = Some(dialled.peer);
        trace.passed_over = dialled.passed_over;
        Ok(dialled.stream)
    }

    /// A proxy wants the whole URL in the request line (RFC 9112, section 3.2.2), unless it only tunnels.
    fn absolute(&self, uri: &Uri) -> Option<String> {
        let authority = uri.authority()?;
        let through = matches!(self.reach.way, Way::Proxy(_)) && !is_secure(uri);
        through.then(|| format!("http://{authority}"))
    }
}

/// The PROXY line of version 1, as a load balancer would send it (HAProxy, "The PROXY protocol", section 2.1).
fn proxy_line(stream: &Stream) -> String {
    match stream.ends() {
        Some((own, peer)) => {
            let family = if own.is_ipv4() { "TCP4" } else { "TCP6" };
            let [from, to] = [own.ip(), peer.ip()];
            format!(
                "PROXY {family} {from} {to} {} {}\r\n",
                own.port(),
                peer.port()
            )
        }
        None => "PROXY UNKNOWN\r\n".to_owned(),
    }
}

/// Asks a proxy for a tunnel to the URL's host (RFC 9110, section 9.3.6).
fn tunnel(
    stream: &mut Stream,
    proxy: &Proxy,
    uri: &Uri,
    port: u16,
    who: &str,
) -> Result<(), Fault> {
    let told = |error: io::Error| net::fault(&error, who, "asking the proxy for a tunnel");
    let to = format!("{}:{port}", uri.host().unwrap_or_default());
    let login = match &proxy.login {
        Some(login) => format!("Proxy-Authorization: {login}\r\n"),
        None => String::new(),
    };
    let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{login}\r\n");
    stream.write_all(request.as_bytes()).map_err(told)?;
    let mut head = Vec::new();
    let mut byte = [0];
    // Byte by byte, because what follows belongs to TLS.
    while !head.ends_with(b"\n\r\n") && !head.ends_with(b"\n\n") {
        if head.len() > TUNNEL || stream.read(&mut byte).map_err(told)? == 0 {
            let text = format!("the proxy {who} does not answer in HTTP");
            return Err(Fault::world("proxy", text));
        }
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&head);
    let line = line.lines().next().unwrap_or_default();
    match line.split_ascii_whitespace().nth(1) {
        Some(status) if status.starts_with('2') && status.len() == 3 => Ok(()),
        _ => {
            let said = text::excerpt(line, 80);
            let text = format!("the proxy {who} opens no tunnel to {to}: {said}");
            Err(Fault::world("proxy", text))
        }
    }
}

/// The connection as ureq wants it.
struct Wire {
    conn: Conn,
    trace: Arc<Mutex<Trace>>,
    buffers: LazyBuffers,
    reader: Reader,
    /// What the reader made of what it read, and nobody took yet.
    ready: Vec<u8>,
    /// What to put before the path of the request line, once.
    absolute: Option<String>,
    kept: bool,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, to: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.conn.fmt(to)
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        if self.reader.in_body().is_some() {
            // A request on a connection that was kept.
            self.reader = Reader::new();
            self.ready.clear();
        }
        let output = &self.buffers.output()[..amount];
        let path = output.iter().position(|it| *it == b' ').map(|it| it + 1);
        match (self.absolute.take(), path) {
            (Some(before), Some(path)) => {
                let whole = [&output[..path], before.as_bytes(), &output[path..]].concat();
                self.conn.write_all(&whole)?;
            }
            _ => self.conn.write_all(output)?,
        }
        self.conn.flush()?;
        lock(&self.trace).doing = "waiting for the response";
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        loop {
            let input = self.buffers.input_append_buf();
            if !self.ready.is_empty() {
                let count = self.ready.len().min(input.len());
                input[..count].copy_from_slice(&self.ready[..count]);
                self.ready.drain(..count);
                self.buffers.input_appended(count);
                return Ok(count > 0);
            }
            let amount = match self.conn.read(input) {
                Ok(0) => return self.gone(Gone::Closed),
                Ok(amount) => amount,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::UnexpectedEof => return self.gone(Gone::WithoutAWord),
                    io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                        if self.reader.in_body().is_some() =>
                    {
                        return self.gone(Gone::Broken);
                    }
                    _ => return Err(error.into()),
                },
            };
            if let Some(count) = self.reader.plain(amount) {
                self.buffers.input_appended(count);
                return Ok(count > 0);
            }
            let mut trace = lock(&self.trace);
            trace.first = trace.first.or(Some(Instant::now()));
            let taken = self.reader.take(&input[..amount], &mut self.ready);
            if let Err(Wrong { code, text }) = taken {
                trace.fault = Some(Fault::world(code, format!("{} {text}", trace.who)));
                return Err(ureq::Error::ConnectionFailed);
            }
            if let Some(head) = self.reader.head.take() {
                trace.head = Some(head);
            }
        }
    }

    fn is_open(&mut self) -> bool {
        // A server that has hung up since is noticed by whoever sends the next request.
        self.kept
    }

    fn is_tls(&self) -> bool {
        !matches!(self.conn, Conn::Plain(_))
    }
}

/// How a server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gone {
    Closed,
    /// TLS that was closed without close_notify.
    WithoutAWord,
    Broken,
}

impl Wire {
    /// Notes what it means that the server went here; nothing more is to be read.
    fn gone(&self, how: Gone) -> Result<bool, ureq::Error> {
        let mut trace = lock(&self.trace);
        let who = match how {
            Gone::Broken => format!("{} broke the connection off", trace.who),
            Gone::Closed | Gone::WithoutAWord => format!("{} closed the connection", trace.who),
        };
        let cut_off = |after: String| format!("cut off after {after}: {who}");
        trace.ending = match (self.reader.end(), how) {
            (End::Whole, _) | (End::Unframed, Gone::Closed) => Ending::Whole,
            (End::Unframed, Gone::WithoutAWord) => Ending::Unclosed,
            (End::Unframed, Gone::Broken) => {
                let bytes = self.reader.in_body().unwrap_or_default();
                Ending::Broken(cut_off(counted(bytes)))
            }
            (End::InBody(bytes, Some(all)), _) => {
                Ending::CutOff(cut_off(format!("{bytes} of {}", counted(all))))
            }
            (End::InBody(bytes, None), _) => Ending::CutOff(cut_off(counted(bytes))),
            (End::InHead(bytes), _) => {
                let text = format!("{who} within its headers, after {}", counted(bytes as u64));
                trace.fault = Some(Fault::world("closed", text));
                Ending::Whole
            }
        };
        Ok(false)
    }
}

/// "5 bytes".
fn counted(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        _ => format!("{bytes} bytes"),
    }
}
