//! The findings of a walk: CRITICAL where some client gets nothing or wrong data, WARNING where redundancy or
//! correctness is lost.

use crate::model::outcome::{Code, code};

/// The findings of a walk (the table of codes and grades that all of them follow: CRITICAL where some client gets
/// nothing or wrong data, WARNING where redundancy or correctness is lost).
pub const CODES: &[Code] = &[
    code(
        "not-delegated",
        "CRITICAL",
        "The parent does not know the zone: the registration has lapsed, or the delegation was removed. Caches hide that until their TTL is over. For an internal zone, name its `servers`, begin at its parent with `from`, or ask resolvers with `via`.",
    ),
    code(
        "no-server",
        "CRITICAL",
        "No server of the zone answers for it: whoever has no copy in a cache gets nothing.",
    ),
    code(
        "answers-differ",
        "CRITICAL; WARNING with `via`",
        "The zone's servers answer differently: one has missed a transfer, or was edited by hand. Compare their serials. Of resolvers, one has old data or a filter; where a name has other addresses for everybody, grade it \"ok\".",
    ),
    code(
        "ds-no-key",
        "CRITICAL",
        "No key in the zone is one that the parent vouches for (DS): resolvers that validate answer SERVFAIL. Give the parent the DS record of a key in use.",
    ),
    code(
        "ds-unsigned",
        "CRITICAL",
        "The parent vouches for keys, and the zone has none: sign it, or take the DS record away from the parent.",
    ),
    code(
        "rrsig-invalid",
        "CRITICAL; WARNING without DS",
        "A signature does not hold, or is missing: sign the zone again, and look at the clock of the signer.",
    ),
    code(
        "rrsig-expired",
        "CRITICAL; WARNING without DS",
        "A signature has ended: the signer does not run, or this server has missed a transfer.",
    ),
    code(
        "rrsig-left",
        "by `rrsig`; WARNING below the TTL",
        "A signature ends soon, or before caches forget what it signs: the signer does not run.",
    ),
    code(
        "chain",
        "CRITICAL",
        "The signatures of the zones above do not lead from the root's key to the parent's word on this zone.",
    ),
    code(
        "zone-expires",
        "by `expire`; WARNING when not refreshed",
        "A secondary does not reach its primary: when its copy has expired it answers SERVFAIL. Look at the transfer, its keys and its firewall.",
    ),
    code(
        "ns-pinned",
        "CRITICAL",
        "The zone's servers are not those of `ns`: somebody has changed the delegation or the zone.",
    ),
    code(
        "serial",
        "WARNING",
        "Servers have different versions of the zone: a transfer is late or fails.",
    ),
    code(
        "lame",
        "WARNING",
        "A server that should answer for the zone does not know it, or answers without authority: add the zone there, or take the server out of the NS records.",
    ),
    code(
        "unreachable",
        "WARNING",
        "A server does not answer: others carry its load, and some questions wait for it.",
    ),
    code(
        "tcp",
        "WARNING",
        "A server does not answer over TCP, which large answers need (RFC 7766): open port 53 for TCP.",
    ),
    code(
        "loss",
        "by limits",
        "More questions are lost than `loss` allows.",
    ),
    code(
        "missing-glue",
        "WARNING",
        "The parent does not give the address of a server inside the zone, which cannot be found without.",
    ),
    code(
        "glue-mismatch",
        "WARNING",
        "The parent gives other addresses for a server than the zone itself: correct them at the registrar.",
    ),
    code(
        "parent-child-ns",
        "WARNING",
        "Parent and zone name different servers.",
    ),
    code(
        "ns-sets-differ",
        "WARNING",
        "The zone's servers name different servers.",
    ),
    code(
        "parents-disagree",
        "WARNING",
        "Servers of the parent zone say different things of this zone.",
    ),
    code(
        "ns-cname",
        "WARNING",
        "A name server's name is an alias, which it may not be (RFC 2181, section 10.3).",
    ),
    code(
        "ns-unresolvable",
        "WARNING",
        "A name server's name has no address.",
    ),
    code(
        "single-ns",
        "WARNING",
        "The zone has a single server (RFC 2182, section 5, wants more).",
    ),
    code(
        "same-address",
        "WARNING",
        "Several server names have the same address.",
    ),
    code(
        "no-ds",
        "WARNING; CRITICAL with `ds = \"required\"`",
        "The zone is signed, but the parent does not vouch for it, so nobody validates.",
    ),
    code(
        "negative-ttl",
        "by limits",
        "That a name does not exist is kept for long: a record added by mistake too late stays unseen as long.",
    ),
    code("ttl", "by limits", "The record's TTL is outside of `ttl`."),
    code(
        "soa-timers",
        "WARNING",
        "A secondary gives up before it has tried again: expire is below refresh and retry.",
    ),
    code(
        "no-edns",
        "OK, a note",
        "A server answers only without EDNS, so that neither large answers nor signatures work.",
    ),
    code(
        "caa",
        "WARNING",
        "CAA records forbid the CA of `issuer` to issue for the name: add it to them, or its next certificate will not come.",
    ),
];
