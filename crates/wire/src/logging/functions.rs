//! The functions of a query that are conditions by themselves.

use std::net::IpAddr;

use super::fields::Path;
use super::literal::fold;
use super::node::{Node, Truth};
use super::search::Search;
use super::subject::{Subject, scalar_text};
use super::view::View;
use crate::filter::{Error, Value, shown};

/// A condition that is a call.
#[derive(Debug, Clone)]
pub(super) enum Function {
    /// `log_id("cloudaudit.googleapis.com/activity")`, folded.
    LogId(String),
    /// `source(projects/p)`: what the log's name begins with.
    Source(String),
    /// `sample(field, 0.1)`
    Sample(Subject, f64),
    /// `ip_in_net(field, "10.0.0.0/8")`
    InNet(Subject, Net),
    /// `SEARCH("words")` or `SEARCH(field, "words")`
    Search(Option<Path>, Search),
}

impl Function {
    pub(super) fn test(&self, view: &View<'_>) -> Truth {
        let root = view.root;
        match self {
            Function::LogId(id) => on_log_name(root, |name| {
                let escaped = name.split_once("/logs/").map_or("", |(_, id)| id);
                percent_decoded(escaped).is_some_and(|decoded| fold(&decoded) == id.as_str())
            }),
            Function::Source(prefix) => on_log_name(root, |name| name.starts_with(prefix.as_str())),
            Function::Sample(subject, share) => on_text(subject, root, |text| sampled(text) <= *share),
            Function::InNet(subject, net) => on_text(subject, root, |text| {
                text.parse().is_ok_and(|address| net.contains(address))
            }),
            Function::Search(path, search) => search.test(view, |look| match path {
                None => {
                    look(root);
                    Truth::False
                }
                Some(path) => {
                    let subject = Subject {
                        path: path.clone(),
                        transforms: Vec::new(),
                    };
                    subject.any(root, &mut |node| {
                        look(node);
                        Truth::False
                    })
                }
            }),
        }
    }
}

fn on_log_name(root: &Node<'_>, test: impl Fn(&str) -> bool) -> Truth {
    match root.member("logName") {
        Some(Node::Text(name)) => Truth::of(test(name)),
        Some(Node::Veiled(_)) => Truth::Unknown,
        _ => Truth::False,
    }
}

fn on_text(subject: &Subject, root: &Node<'_>, test: impl Fn(&str) -> bool) -> Truth {
    subject.any(root, &mut |node| match node {
        Node::Veiled(_) => Truth::Unknown,
        node => Truth::of(scalar_text(node).is_some_and(|text| test(&text))),
    })
}

/// `source`: a project's own logs. Logs of folders and organizations are not kept here, so these never match.
pub(super) fn source(value: &Value) -> Result<Function, Error> {
    let known = ["projects", "folders", "organizations", "billingAccounts"];
    match value.text.split_once('/') {
        Some((collection, id)) if known.contains(&collection) && !id.is_empty() && !id.contains('/') => {
            Ok(Function::Source(format!("{collection}/{id}/")))
        }
        _ => Err(Error::at(
            value.column,
            "expected `source(projects/PROJECT)`, `source(folders/ID)` or `source(organizations/ID)`",
        )),
    }
}

/// `sample`: the second argument.
pub(super) fn share(value: &Value) -> Result<f64, Error> {
    value
        .text
        .parse()
        .ok()
        .filter(|share| *share > 0.0 && *share <= 1.0)
        .ok_or_else(|| Error::at(value.column, "expected a share above 0 and up to 1, such as 0.01"))
}

/// The place of a text between 0 and 1: the same for every query and every server.
fn sampled(text: &str) -> f64 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let first = digest.as_ref().iter().take(8);
    first
        .rev()
        .fold(0.0, |place, byte| (place + f64::from(*byte)) / 256.0)
}

/// Addresses with a common beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Net {
    first: IpAddr,
    bits: u32,
}

impl Net {
    /// Reads `10.1.2.0/24` or a single address.
    pub(super) fn parse(value: &Value) -> Result<Net, Error> {
        let wrong = || {
            let why = format_args!(
                "expected addresses such as \"10.1.2.0/24\" or \"2001:db8::/32\", not `{}`",
                shown(&value.text)
            );
            Error::at(value.column, why)
        };
        let (address, bits) = match value.text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (value.text.as_str(), None),
        };
        let first: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
        if bits > most {
            return Err(wrong());
        }
        Ok(Net { first, bits })
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let other = first.to_bits() ^ address.to_bits();
                other.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let other = first.to_bits() ^ address.to_bits();
                other.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// `%2F` and the like undone; `None` when that is no text.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(decoded).ok()
}
