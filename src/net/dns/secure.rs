//! DNSSEC signatures of what one server sent (RFC 4034, RFC 4035): by which key, until when, and whether they hold.

use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, RRSIG};
use hickory_proto::dnssec::{PublicKey, Verifier};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// Records of one name and type with their signatures.
#[derive(Clone, Debug)]
pub struct RrSet {
    pub owner: Name,
    pub kind: RecordType,
    pub records: Vec<Record>,
    pub signatures: Vec<RRSIG>,
}

impl RrSet {
    /// The set of this name and type among records; nothing when there is none.
    pub fn of(records: &[Record], owner: &Name, kind: RecordType) -> Option<RrSet> {
        let own = || records.iter().filter(|it| it.name == *owner);
        let set: Vec<Record> = own()
            .filter(|it| it.record_type() == kind)
            .cloned()
            .collect();
        let signatures = own().filter_map(|it| match &it.data {
            RData::DNSSEC(DNSSECRData::RRSIG(it)) if it.input().type_covered == kind => {
                Some(it.clone())
            }
            _ => None,
        });
        (!set.is_empty()).then(|| RrSet {
            owner: owner.clone(),
            kind,
            signatures: signatures.collect(),
            records: set,
        })
    }

    pub fn ttl(&self) -> u32 {
        self.records.iter().map(|it| it.ttl).min().unwrap_or(0)
    }

    /// The keys among its records.
    pub fn keys(&self) -> Vec<DNSKEY> {
        let keys = self.records.iter().filter_map(|it| match &it.data {
            RData::DNSSEC(DNSSECRData::DNSKEY(key)) => Some(key.clone()),
            _ => None,
        });
        keys.collect()
    }

    /// The delegation signers among its records.
    pub fn signers(&self) -> Vec<DS> {
        let signers = self.records.iter().filter_map(|it| match &it.data {
            RData::DNSSEC(DNSSECRData::DS(ds)) => Some(ds.clone()),
            _ => None,
        });
        signers.collect()
    }

    /// What its best signature by one of a zone's keys is worth at a time in seconds since 1970.
    pub fn verdict(&self, keys: &[&DNSKEY], zone: &Name, now: i64) -> Verdict {
        let mut worst = Verdict::Unsigned;
        let mut best: Option<(i64, i64)> = None;
        for signature in &self.signatures {
            let input = signature.input();
            if input.signer_name != *zone {
                worst = Verdict::Invalid(format!("is signed by {}", input.signer_name));
                continue;
            }
            if !input.algorithm.is_supported() {
                worst = Verdict::Unknown;
                continue;
            }
            let fitting = keys.iter().filter(|it| {
                it.public_key().algorithm() == input.algorithm
                    && it.calculate_key_tag().is_ok_and(|tag| tag == input.key_tag)
            });
            let mut fitting = fitting.peekable();
            if fitting.peek().is_none() {
                let tag = input.key_tag;
                worst =
                    Verdict::Invalid(format!("is signed with key {tag}, which is not published"));
                continue;
            }
            let holds = |key: &&&DNSKEY| {
                let records = self.records.iter();
                key.verify_rrsig(&self.owner, DNSClass::IN, signature, records)
                    .is_ok()
            };
            if !fitting.any(|it| holds(&it)) {
                worst = Verdict::Invalid("has a signature that does not hold".to_owned());
                continue;
            }
            let left = ahead(input.sig_expiration.get(), now);
            let begin = ahead(input.sig_inception.get(), now);
            if left < -SKEW {
                worst = Verdict::Expired(-left);
            } else if begin > SKEW {
                worst = Verdict::Invalid(format!("has a signature that begins in {begin} s"));
            } else if best.is_none_or(|it| left > it.0) {
                best = Some((left, left - begin));
            }
        }
        match best {
            Some((left, lifetime)) => Verdict::Good { left, lifetime },
            None => worst,
        }
    }
}

/// What a signature is worth.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Seconds that it has left, of so many.
    Good { left: i64, lifetime: i64 },
    /// There is none.
    Unsigned,
    /// Only ones of algorithms that are not known here.
    Unknown,
    /// It ended so many seconds ago.
    Expired(i64),
    /// Why it does not hold.
    Invalid(String),
}

/// How much a clock may be wrong.
const SKEW: i64 = 300;

/// Seconds from now to a time of a signature, which counts modulo 2^32 (RFC 4034, section 3.1.5; RFC 1982).
fn ahead(time: u32, now: i64) -> i64 {
    i64::from(time.wrapping_sub(now as u32) as i32)
}

/// The keys that the parent vouches for.
pub fn vouched<'k>(signers: &[DS], zone: &Name, keys: &'k [DNSKEY]) -> Vec<&'k DNSKEY> {
    let covers = |key: &&DNSKEY| {
        signers.iter().any(|ds| {
            ds.digest_type().is_supported()
                && ds.algorithm() == key.public_key().algorithm()
                && ds.covers(zone, key).unwrap_or(false)
        })
    };
    keys.iter().filter(covers).collect()
}

/// Whether any of these can be checked here.
pub fn are_known(signers: &[DS]) -> bool {
    let known = |it: &DS| it.digest_type().is_supported() && it.algorithm().is_supported();
    signers.iter().any(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_signatures_count_modulo() {
        assert_eq!(ahead(100, 90), 10);
        assert_eq!(ahead(90, 100), -10);
        // After 2106.
        assert_eq!(ahead(5, (1 << 32) - 5), 10);
    }
}
