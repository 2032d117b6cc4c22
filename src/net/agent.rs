//! One HTTP exchange: ureq speaks the protocol, koshu dials, secures and times the connection.
//!
//! The only file that knows ureq's transport traits, which are outside its semantic versioning.

use crate::net::dial::{Conn, dial};
use crate::net::tls::Peer;
use crate::net::{self, Family, Fault};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
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
    /// Connect here, whatever the URL's host resolves to.
    pub address: Option<(String, Option<u16>)>,
    pub deadline: Instant,
    /// Judges the chain before anything is sent over TLS; an error ends the exchange.
    pub judge: Judge,
}

/// What was seen of the connection.
#[derive(Default)]
pub struct Trace {
    /// Who was asked, as an address once it is known.
    pub who: String,
    pub doing: &'static str,
    pub passed_over: Vec<String>,
    fault: Option<Fault>,
}

/// A response with as much of its body as was wanted.
pub struct Response {
    pub status: http::StatusCode,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
    /// Whether the body has more than was wanted.
    pub cut: bool,
    pub peer: String,
    pub passed_over: Vec<String>,
}

/// Sends one request and reads the response, of its body at most `limit` bytes.
///
/// # Errors
/// For everything that is no HTTP response.
pub fn exchange(
    request: http::Request<Vec<u8>>,
    reach: &Reach,
    limit: u64,
) -> Result<Response, Fault> {
    let trace = Arc::new(Mutex::new(Trace {
        who: request.uri().host().unwrap_or_default().to_owned(),
        doing: "sending the request",
        ..Trace::default()
    }));
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        .allow_non_standard_methods(true)
        .user_agent(concat!("koshu/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .input_buffer_size(16 << 10)
        .output_buffer_size(4 << 10)
        .build();
    let dialler = Dialler {
        reach: reach.clone(),
        trace: trace.clone(),
    };
    let agent = ureq::Agent::with_parts(config, dialler, Nowhere);
    let result = agent.run(request).and_then(|response| {
        let (parts, body) = response.into_parts();
        let mut bytes = Vec::new();
        lock(&trace).doing = "reading the body";
        let mut reader = body.into_with_config().limit(u64::MAX).reader();
        (&mut reader)
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|it| match it.downcast::<ureq::Error>() {
                Ok(inner) => inner,
                Err(it) => ureq::Error::Io(it),
            })?;
        Ok((parts, bytes))
    });
    let mut trace = lock(&trace);
    let (parts, mut body) = result.map_err(|error| told(error, &mut trace))?;
    let cut = body.len() as u64 > limit;
    body.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Response {
        status: parts.status,
        headers: parts.headers,
        body,
        cut,
        peer: trace.who.clone(),
        passed_over: std::mem::take(&mut trace.passed_over),
    })
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
        ureq::Error::LargeResponseHeader(found, most) => Fault::world(
            "not-http",
            format!("{who} sends {found} bytes of headers, {most} are read"),
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
            Ok(conn) => Ok(Some(Wire {
                conn,
                trace: self.trace.clone(),
                buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            })),
            Err(fault) => {
                lock(&self.trace).fault = Some(fault);
                Err(ureq::Error::ConnectionFailed)
            }
        }
    }
}

impl Dialler {
    fn open(&self, uri: &Uri) -> Result<Conn, Fault> {
        let secure = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let name = uri.host().unwrap_or_default();
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let Reach {
            family, deadline, ..
        } = self.reach;
        let (host, port) = match &self.reach.address {
            Some((host, at)) => (host.as_str(), at.unwrap_or(port)),
            None => (name, port),
        };
        let addresses = net::resolve(host, port, family, deadline)?;
        let dialled = dial(&addresses, deadline)?;
        let who = match host.parse::<IpAddr>() {
            Ok(_) => dialled.peer.to_string(),
            Err(_) => format!("{host} ({})", dialled.peer),
        };
        {
            let mut trace = lock(&self.trace);
            trace.who = who.clone();
            trace.passed_over = dialled.passed_over;
        }
        if !secure {
            return Ok(Conn::Plain(dialled.stream));
        }
        let (stream, peer) = net::tls::handshake(dialled.stream, name, &who, net::tls::Keys::Any)
            .map_err(|(fault, _)| fault)?;
        (self.reach.judge)(&peer, name)?;
        Ok(Conn::Tls(Box::new(stream)))
    }
}

/// The connection as ureq wants it.
struct Wire {
    conn: Conn,
    trace: Arc<Mutex<Trace>>,
    buffers: LazyBuffers,
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
        let output = &self.buffers.output()[..amount];
        self.conn.write_all(output)?;
        self.conn.flush()?;
        lock(&self.trace).doing = "waiting for the response";
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let input = self.buffers.input_append_buf();
        let amount = loop {
            match self.conn.read(input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                result => break result?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // Connections are never kept, so nobody has to know.
        false
    }

    fn is_tls(&self) -> bool {
        matches!(self.conn, Conn::Tls(_))
    }
}
