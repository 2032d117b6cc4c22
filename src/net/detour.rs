//! TLS with a server: by the library, and where the server is too old for it by another program, if the list allows that.

use crate::net::dial::{Conn, Stream};
use crate::net::hello;
use crate::net::tls::{self, Offer, Peer};
use crate::net::{self, Fault, TOO_OLD};
use rustls::pki_types::CertificateDer;
use std::io::{Read, Write};
use std::net::SocketAddr;

/// Another program that makes connections with TLS.
pub trait Detour: Send + Sync {
    /// What the server at an address shows for a name.
    ///
    /// # Errors
    /// When the program is missing, or shows nothing.
    fn look(&self, at: SocketAddr, name: &str) -> Result<Peer, Fault>;

    /// A connection to a server that shows just this leaf: what was judged is what is talked to.
    ///
    /// # Errors
    /// When the program cannot be started.
    fn carry(
        &self,
        at: SocketAddr,
        name: &str,
        leaf: &CertificateDer,
    ) -> Result<Box<dyn Carrier>, Fault>;
}

/// Bytes both ways through another program.
pub trait Carrier: Read + Write + Send + Sync {}

/// How TLS is wanted.
pub struct Wish<'w> {
    /// The name to ask for and to judge by.
    pub name: &'w str,
    /// The peer, as messages call it.
    pub who: &'w str,
    pub offer: &'w Offer,
    /// Accepts what the peer showed, or says what is wrong with it.
    pub judge: &'w dyn Fn(&Peer, &str) -> Result<(), Fault>,
    pub detour: Option<&'w dyn Detour>,
}

/// Makes a connection secure; `at` is its other end, and `again` connects once more.
///
/// # Errors
/// `tls-too-old` where only a detour would lead to the server; those of the handshake and of `judge`.
pub fn secure(
    stream: Stream,
    at: Option<SocketAddr>,
    wish: &Wish,
    again: impl FnMut() -> Result<Stream, Fault>,
) -> Result<(Conn, Peer), Fault> {
    let who = wish.who;
    let name = &*net::ascii(wish.name);
    let failed = match tls::handshake(stream, name, who, wish.offer) {
        Ok((stream, peer)) => match (wish.judge)(&peer, wish.name) {
            Ok(()) => return Ok((Conn::Tls(Box::new(stream)), peer)),
            Err(fault) => Err(fault),
        },
        Err(failed) => Ok(failed),
    };
    let fault = match failed {
        // What the library could not judge another one may.
        Err(fault) => fault,
        Ok(failed) if failed.is_strange => hello::explain(failed.fault, name, who, again),
        Ok(failed) => failed.fault,
    };
    match (wish.detour, at) {
        (Some(detour), Some(at)) if fault.code() == Some(TOO_OLD) => {
            let led = |other: Fault| match other {
                Fault::Me(why) => Fault::lack(TOO_OLD, format!("{fault}; {why:#}")),
                other => other,
            };
            let peer = detour.look(at, name).map_err(led)?;
            let Some(leaf) = peer.chain.first() else {
                return Err(fault);
            };
            (wish.judge)(&peer, wish.name)?;
            let carrier = detour.carry(at, name, leaf).map_err(led)?;
            Ok((Conn::Carried(carrier), peer))
        }
        _ => Err(fault),
    }
}
