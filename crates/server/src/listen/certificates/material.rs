//! What a self-made certificate consists of, and how it goes on from one certificate and one authority to the next. Pure
//! but for the randomness of new keys.
//!
//! ```text
//! authority  ├──────── A ────────┤                      next is trusted with it from 2/3 of its life on,
//! next                     ├──────── A ────────┤        and takes over when everybody is known to trust it,
//! serving    ├──┬──┬──┬──┬──┬──┬──┬──┬──┬──┬──┬─        at 5/6 at the latest; a serving certificate is
//!                                                       renewed at 2/3 of its life
//! ```

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};

/// Certificates start a day early: the API server's clock may be behind ours.
const SKEW: Duration = Duration::from_secs(86_400);
/// Authorities that were replaced. By the thirds above there are two at a time: one that lasts, and one that has ended.
const RETIRED_MAX: usize = 8;

/// How long things last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// An authority.
    pub authority: Duration,
    /// A serving certificate.
    pub serving: Duration,
}

impl Lifetimes {
    /// Ten years, and 90 days.
    pub const USUAL: Lifetimes = Lifetimes {
        authority: Duration::from_secs(3_650 * 86_400),
        serving: Duration::from_secs(90 * 86_400),
    };
}

/// What a serving certificate is to be.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) names: Vec<String>,
    pub(super) lifetimes: Lifetimes,
    /// Others have their own idea of the names, while one release replaces another.
    pub(super) is_shared: bool,
}

/// A private key in PEM. It is not printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Key(String);

impl Key {
    /// For whoever signs with it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(…)")
    }
}

/// A certificate authority of ours. The key of one that signs nothing any more is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Authority {
    pub(super) certificate: String,
    key: Key,
    ends_unix_seconds: u64,
}

/// The certificate of an authority that signs nothing any more: trusted until its end, and known for as long again, so
/// that whoever still has it among those to trust is known to have it from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Retired {
    certificate: String,
    ends_unix_seconds: u64,
    has_ended: bool,
}

/// What is served with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Serving {
    pub(super) certificate: String,
    pub(super) key: Key,
    names: Vec<String>,
    ends_unix_seconds: u64,
}

/// All of it. It is written as a whole, so no part is ever of another time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Material {
    authority: Authority,
    next: Option<Authority>,
    retired: Vec<Retired>,
    pub(super) serving: Serving,
}

impl Authority {
    /// One that an earlier release made, which did not write down when it ends.
    pub(super) fn found(certificate: String, key: String, ends: SystemTime) -> Authority {
        Authority {
            certificate,
            key: Key(key),
            ends_unix_seconds: unix_seconds(ends),
        }
    }

    fn new(lifetime: Duration, now: SystemTime) -> Result<Authority, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = authority_params();
        let ends_unix_seconds = set_validity(&mut params, now, now + lifetime);
        Ok(Authority {
            certificate: params.self_signed(&key)?.pem(),
            key: Key(key.serialize_pem()),
            ends_unix_seconds,
        })
    }

    fn ends(&self) -> SystemTime {
        time(self.ends_unix_seconds)
    }

    /// Its parameters are constants, so the key alone brings it back.
    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, rcgen::Error> {
        Ok(Issuer::new(
            authority_params(),
            KeyPair::from_pem(self.key.reveal())?,
        ))
    }
}

impl Material {
    /// From nothing.
    pub(super) fn new(terms: &Terms, now: SystemTime) -> Result<Material, rcgen::Error> {
        Material::under(Authority::new(terms.lifetimes.authority, now)?, terms, now)
    }

    /// Under an authority that is there.
    pub(super) fn under(
        authority: Authority,
        terms: &Terms,
        now: SystemTime,
    ) -> Result<Material, rcgen::Error> {
        Ok(Material {
            serving: issue(&authority, terms, now)?,
            authority,
            next: None,
            retired: Vec::new(),
        })
    }

    /// What it should be by now, if that is something else. `trusted` is the authority that everybody who asks is known
    /// to trust.
    pub(super) fn advanced(
        &self,
        terms: &Terms,
        now: SystemTime,
        trusted: Option<&str>,
    ) -> Result<Option<Material>, rcgen::Error> {
        let mut new = self.clone();
        let lifetime = terms.lifetimes.authority;
        if new.next.is_none() && new.authority.ends() <= now + lifetime / 3 {
            new.next = Some(Authority::new(lifetime, now)?);
        }
        let is_trusted = new.next_authority().is_some_and(|next| trusted == Some(next));
        // Better one that some do not know than one that nobody takes any more.
        let is_urgent = new.authority.ends() <= now + lifetime / 6;
        if (is_trusted || is_urgent)
            && let Some(next) = new.next.take()
        {
            let old = std::mem::replace(&mut new.authority, next);
            new.retire(old, now);
            new.serving = issue(&new.authority, terms, now)?;
        } else if let Some(names) = new.names_wanted(terms) {
            let terms = Terms {
                names,
                ..terms.clone()
            };
            new.serving = issue(&new.authority, &terms, now)?;
        } else if new.is_serving_due(terms, now) {
            new.serving = issue(&new.authority, terms, now)?;
        }
        // Those that were replaced just now, too: they may have ended years ago.
        new.retired
            .retain(|retired| time(retired.ends_unix_seconds) + lifetime > now);
        for retired in &mut new.retired {
            retired.has_ended |= time(retired.ends_unix_seconds) <= now;
        }
        Ok((new != *self).then_some(new))
    }

    /// The names of another serving certificate, if this one's do not do. Where others share it, theirs stay until it is
    /// renewed: each would take away what the other adds, again and again.
    fn names_wanted(&self, terms: &Terms) -> Option<Vec<String>> {
        let present = &self.serving.names;
        if !terms.is_shared {
            return (*present != terms.names).then(|| terms.names.clone());
        }
        let mut names = present.clone();
        names.extend(terms.names.iter().filter(|name| !present.contains(name)).cloned());
        (names.len() > present.len()).then_some(names)
    }

    fn retire(&mut self, old: Authority, now: SystemTime) {
        let retired = Retired {
            has_ended: old.ends() <= now,
            certificate: old.certificate,
            ends_unix_seconds: old.ends_unix_seconds,
        };
        self.retired.insert(0, retired);
        self.retired.truncate(RETIRED_MAX);
    }

    /// Near its end, and a new one would end later.
    fn is_serving_due(&self, terms: &Terms, now: SystemTime) -> bool {
        let lifetime = terms.lifetimes.serving;
        self.ends() <= now + lifetime / 3 && self.ends() < serving_end(&self.authority, lifetime, now)
    }

    /// When the serving certificate ends.
    pub(super) fn ends(&self) -> SystemTime {
        time(self.serving.ends_unix_seconds)
    }

    /// The authority that is to take over, in PEM.
    pub(super) fn next_authority(&self) -> Option<&str> {
        self.next.as_ref().map(|next| next.certificate.as_str())
    }

    /// Every authority to trust, in PEM; the one that signs first.
    pub(super) fn bundle(&self) -> String {
        let next = self.next.iter().map(|next| &next.certificate);
        let retired = self.retired.iter().filter(|retired| !retired.has_ended);
        let retired = retired.map(|retired| &retired.certificate);
        std::iter::once(&self.authority.certificate)
            .chain(next)
            .chain(retired)
            .map(String::as_str)
            .collect()
    }

    /// Authorities that have ended, in PEM.
    pub(super) fn ended(&self) -> String {
        let ended = self.retired.iter().filter(|retired| retired.has_ended);
        ended.map(|retired| retired.certificate.as_str()).collect()
    }
}

/// No certificate outlives who signed it.
fn serving_end(authority: &Authority, lifetime: Duration, now: SystemTime) -> SystemTime {
    time(unix_seconds(now + lifetime)).min(authority.ends())
}

fn issue(authority: &Authority, terms: &Terms, now: SystemTime) -> Result<Serving, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(terms.names.clone())?;
    params.distinguished_name = common_name("binauthz");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let ends = serving_end(authority, terms.lifetimes.serving, now);
    let ends_unix_seconds = set_validity(&mut params, now, ends);
    Ok(Serving {
        certificate: params.signed_by(&key, &authority.issuer()?)?.pem(),
        key: Key(key.serialize_pem()),
        names: terms.names.clone(),
        ends_unix_seconds,
    })
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("binauthz webhook authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Whole seconds, as X.509 has no finer time.
fn set_validity(params: &mut CertificateParams, now: SystemTime, ends: SystemTime) -> u64 {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(unix_seconds(now - SKEW));
    params.not_after = epoch + Duration::from_secs(unix_seconds(ends));
    unix_seconds(ends)
}

fn time(unix_seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(unix_seconds)
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHORITY: u64 = 3_600;
    const SERVING: u64 = 600;

    fn terms() -> Terms {
        Terms {
            names: vec!["localhost".to_owned()],
            lifetimes: Lifetimes {
                authority: Duration::from_secs(AUTHORITY),
                serving: Duration::from_secs(SERVING),
            },
            is_shared: false,
        }
    }

    fn at(seconds: u64) -> SystemTime {
        time(1_800_000_000 + seconds)
    }

    fn advanced(material: &Material, seconds: u64, trusted: Option<&str>) -> Option<Material> {
        material.advanced(&terms(), at(seconds), trusted).unwrap()
    }

    #[test]
    fn a_serving_certificate_is_renewed_at_two_thirds() {
        let first = Material::new(&terms(), at(0)).unwrap();
        assert_eq!(advanced(&first, SERVING * 2 / 3 - 1, None), None);
        let second = advanced(&first, SERVING * 2 / 3, None).unwrap();
        assert_ne!(second.serving, first.serving);
        assert_eq!(
            (second.authority.clone(), second.bundle()),
            (first.authority.clone(), first.bundle())
        );
        let renamed = Terms {
            names: vec!["other".to_owned()],
            ..terms()
        };
        let other = first.advanced(&renamed, at(1), None).unwrap().unwrap();
        assert_ne!(other.serving, first.serving);
        assert_eq!(other.authority, first.authority);
    }

    #[test]
    fn those_who_share_do_not_take_names_from_each_other() {
        let named = |names: &[&str]| Terms {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            is_shared: true,
            ..terms()
        };
        let (old, new) = (named(&["a", "b"]), named(&["a", "c"]));
        let first = Material::new(&old, at(0)).unwrap();
        let both = first.advanced(&new, at(1), None).unwrap().unwrap();
        assert_eq!(both.serving.names, ["a", "b", "c"]);
        for terms in [&old, &new] {
            assert_eq!(both.advanced(terms, at(2), None).unwrap(), None);
        }
        let renewed = both.advanced(&new, at(SERVING), None).unwrap().unwrap();
        assert_eq!(renewed.serving.names, ["a", "c"]);
    }

    #[test]
    fn the_next_authority_is_trusted_before_it_signs() {
        let mut material = Material::new(&terms(), at(0)).unwrap();
        let first = material.authority.clone();
        let two_thirds = AUTHORITY * 2 / 3;
        material = advanced(&material, two_thirds - 1, None).unwrap();
        assert_eq!(material.next, None);
        material = advanced(&material, two_thirds, None).unwrap();
        let next = material.next_authority().unwrap().to_owned();
        assert_eq!(material.authority, first);
        assert_eq!(material.bundle(), format!("{}{next}", first.certificate));
        // Another authority's being trusted says nothing.
        assert_eq!(
            advanced(&material, two_thirds + 1, Some(&first.certificate)),
            None
        );
        let over = advanced(&material, two_thirds + 1, Some(&next)).unwrap();
        assert_eq!(
            (over.authority.certificate.as_str(), over.next.as_ref()),
            (next.as_str(), None)
        );
        assert_ne!(over.serving, material.serving);
        assert_eq!(
            over.bundle(),
            format!("{next}{}", first.certificate),
            "still trusted"
        );
        assert!(
            !serde_json::to_string(&over)
                .unwrap()
                .contains(first.key.reveal().lines().nth(1).unwrap())
        );
        let later = advanced(&over, AUTHORITY, None).unwrap();
        assert_eq!(later.bundle(), next, "until its end");
        assert_eq!(later.ended(), first.certificate);
    }

    #[test]
    fn without_any_word_of_trust_the_next_authority_takes_over_in_time() {
        let mut material = Material::new(&terms(), at(0)).unwrap();
        let mut authorities = vec![material.authority.clone()];
        for seconds in 0..AUTHORITY * 3 {
            if let Some(new) = advanced(&material, seconds, None) {
                material = new;
            }
            assert!(
                material.ends() > at(seconds),
                "{seconds}: it serves with one that has ended"
            );
            assert!(material.ends() <= material.authority.ends());
            assert!(material.authority.ends() > at(seconds));
            if authorities.last() != Some(&material.authority) {
                let before = authorities.last().unwrap();
                assert!(before.ends() > at(seconds));
                authorities.push(material.authority.clone());
            }
        }
        // Each is made at two thirds of the one before, and takes over when that one has a sixth left.
        assert_eq!(authorities.len(), 5);
    }

    #[test]
    fn what_ended_long_ago_is_replaced_at_once() {
        let old = Material::new(&terms(), at(0)).unwrap();
        let new = advanced(&old, AUTHORITY * 100, None).unwrap();
        assert!(new.ends() > at(AUTHORITY * 100));
        assert!(!new.bundle().contains(&old.authority.certificate));
        assert_eq!(advanced(&new, AUTHORITY * 100, None), None);
    }

    #[test]
    fn keys_are_not_printed() {
        let material = Material::new(&terms(), at(0)).unwrap();
        assert!(!format!("{material:?}").contains("PRIVATE"));
    }

    #[test]
    fn it_is_written_and_read_whole() {
        let material = Material::new(&terms(), at(0)).unwrap();
        let text = serde_json::to_string(&material).unwrap();
        assert_eq!(serde_json::from_str::<Material>(&text).unwrap(), material);
        for wrong in ["{}", "null", &text.replace("\"next\"", "\"nest\"")] {
            assert!(serde_json::from_str::<Material>(wrong).is_err(), "{wrong}");
        }
    }
}
