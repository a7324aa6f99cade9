//! Image references as Pods write them, and the patterns that exempt them.
//!
//! A reference is parsed against the grammar of the distribution project, strictly: what does not
//! fit is refused, never repaired. The text as written is kept, because exemptions compare text.

mod digest;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use digest::{Digest, InvalidDigest};

/// Longest reference accepted: 255 for the name, 128 for the tag, 71 for the digest, separators, rounded up.
pub const MAX_REFERENCE_LEN: usize = 512;
/// Longest repository name accepted, host included (the distribution grammar's own limit).
pub const MAX_NAME_LEN: usize = 255;

/// What a Pod may ask for. The two cases never share a method that hides which one it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ImageRef {
    /// Named by a digest: the only thing an attestation can be about.
    Pinned(PinnedImage),
    /// Named by a tag, or by nothing at all (which means `latest`).
    Tagged(TaggedImage),
}

/// An image named by its digest (and perhaps a tag, which the runtime ignores).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PinnedImage {
    written: Arc<str>,
    repository_len: usize,
    tagged: bool,
    digest: Digest,
}

/// An image named by a tag or by its bare name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaggedImage {
    written: Arc<str>,
    repository_len: usize,
}

impl PinnedImage {
    /// The digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Registry and repository, without tag and digest, as written.
    pub fn repository(&self) -> &str {
        self.written.get(..self.repository_len).unwrap_or_default()
    }

    /// The whole reference as written.
    pub fn as_written(&self) -> &str {
        &self.written
    }
}

impl TaggedImage {
    /// Registry and repository, without the tag, as written.
    pub fn repository(&self) -> &str {
        self.written.get(..self.repository_len).unwrap_or_default()
    }

    /// The tag, if one is written.
    pub fn tag(&self) -> Option<&str> {
        self.written
            .get(self.repository_len..)
            .and_then(|rest| rest.strip_prefix(':'))
    }

    /// The whole reference as written.
    pub fn as_written(&self) -> &str {
        &self.written
    }
}

impl ImageRef {
    /// The whole reference as written.
    pub fn as_written(&self) -> &str {
        match self {
            Self::Pinned(image) => image.as_written(),
            Self::Tagged(image) => image.as_written(),
        }
    }

    /// Registry and repository, as written.
    pub fn repository(&self) -> &str {
        match self {
            Self::Pinned(image) => image.repository(),
            Self::Tagged(image) => image.repository(),
        }
    }

    /// The registry host (with its port), if the reference names one.
    pub fn host(&self) -> Option<&str> {
        split_host(self.repository()).0
    }

    /// The repository without its registry host.
    pub fn path(&self) -> &str {
        split_host(self.repository()).1
    }

    pub(crate) fn has_tag_and_digest(&self) -> bool {
        matches!(self, Self::Pinned(image) if image.tagged)
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_written())
    }
}

/// Why a text is not an image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImageRef {
    /// Nothing was written.
    #[error("the image reference is empty")]
    Empty,
    /// Over one of the length limits.
    #[error(
        "the image reference is too long: at most {MAX_REFERENCE_LEN} characters, {MAX_NAME_LEN} of them the name"
    )]
    TooLong,
    /// A scheme, user, query or the like.
    #[error(
        "the image reference holds a character that references cannot have; expected HOST/PATH:TAG or HOST/PATH@sha256:DIGEST"
    )]
    Character,
    /// The host does not parse.
    #[error("the image reference's registry host is malformed")]
    Host,
    /// A path component does not parse (empty, `..`, upper case, separator at an end).
    #[error(
        "the image reference's path is malformed: expected lower-case components separated by single slashes"
    )]
    Path,
    /// The tag does not parse.
    #[error("the image reference's tag is malformed: expected 1 to 128 letters, digits, `_`, `.` or `-`")]
    Tag,
    /// The digest does not parse.
    #[error(
        "the image reference's digest is malformed: expected `sha256:` and 64 lower-case hexadecimal digits"
    )]
    Digest,
    /// 64 hexadecimal digits: an image id, not a name.
    #[error("the image reference is a bare image id; expected a name")]
    ImageId,
}

impl FromStr for ImageRef {
    type Err = InvalidImageRef;

    fn from_str(text: &str) -> Result<Self, InvalidImageRef> {
        Self::try_from(Arc::<str>::from(text))
    }
}

/// Keeps the text it is given.
impl TryFrom<Arc<str>> for ImageRef {
    type Error = InvalidImageRef;

    fn try_from(written: Arc<str>) -> Result<Self, InvalidImageRef> {
        let text = &*written;
        if text.is_empty() {
            return Err(InvalidImageRef::Empty);
        }
        if text.len() > MAX_REFERENCE_LEN {
            return Err(InvalidImageRef::TooLong);
        }
        if !text.bytes().fold(true, |all, b| all & is_allowed(b)) {
            return Err(InvalidImageRef::Character);
        }
        let (named, digest) = match text.bytes().position(|b| b == b'@') {
            Some(at) => {
                let digest = text.get(at + 1..).unwrap_or_default().parse::<Digest>();
                let named = text.get(..at).unwrap_or_default();
                (named, Some(digest.map_err(|_| InvalidImageRef::Digest)?))
            }
            None => (text, None),
        };
        let (repository, tag) = split_tag(named);
        check_repository(repository)?;
        if let Some(tag) = tag {
            check_tag(tag)?;
        }
        let (repository_len, tagged) = (repository.len(), tag.is_some());
        Ok(match digest {
            Some(digest) => Self::Pinned(PinnedImage {
                written,
                repository_len,
                tagged,
                digest,
            }),
            None => Self::Tagged(TaggedImage {
                written,
                repository_len,
            }),
        })
    }
}

/// Whether a reference may hold this byte at all.
const fn is_allowed(byte: u8) -> bool {
    // `-`, `.`, `/`, the digits and `:` follow one another.
    matches!(byte, b'-'..=b':' | b'@'..=b'[' | b']' | b'_' | b'a'..=b'z')
}

/// Splits `name:tag`; a colon before the last slash belongs to the host's port.
fn split_tag(named: &str) -> (&str, Option<&str>) {
    let last = named.bytes().rposition(|b| matches!(b, b':' | b'/' | b']'));
    match last.map(|at| {
        (
            named.get(..at),
            named.get(at..).and_then(|rest| rest.strip_prefix(':')),
        )
    }) {
        Some((Some(repository), Some(tag))) => (repository, Some(tag)),
        _ => (named, None),
    }
}

/// Splits `host/path`. The first component is a host if it could not be a path: it has a dot, a colon
/// or an upper-case letter, or is `localhost`.
fn split_host(repository: &str) -> (Option<&str>, &str) {
    let slash = repository.bytes().position(|b| b == b'/');
    match slash.and_then(|at| Some((repository.get(..at)?, repository.get(at + 1..)?))) {
        Some((first, rest))
            if first == "localhost" || first.bytes().any(|b| matches!(b, b'.' | b':' | b'A'..=b'Z')) =>
        {
            (Some(first), rest)
        }
        _ => (None, repository),
    }
}

fn check_repository(repository: &str) -> Result<(), InvalidImageRef> {
    if repository.len() > MAX_NAME_LEN {
        return Err(InvalidImageRef::TooLong);
    }
    let (host, path) = split_host(repository);
    if let Some(host) = host {
        check_host(host)?;
    }
    if host.is_none() && path.len() == 64 && path.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(InvalidImageRef::ImageId);
    }
    if path.as_bytes().split(|b| *b == b'/').all(is_path_component) {
        Ok(())
    } else {
        Err(InvalidImageRef::Path)
    }
}

fn check_host(host: &str) -> Result<(), InvalidImageRef> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or(InvalidImageRef::Host)?;
            // The grammar has hexadecimal digits and colons only: no IPv4 at the end, no zone.
            let is_address = !address.contains('.') && address.parse::<std::net::Ipv6Addr>().is_ok();
            if !is_address {
                return Err(InvalidImageRef::Host);
            }
            (
                "ip",
                if after.is_empty() {
                    None
                } else {
                    Some(after.strip_prefix(':').ok_or(InvalidImageRef::Host)?)
                },
            )
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let label = |label: &[u8]| {
        label.first().is_some_and(u8::is_ascii_alphanumeric)
            && label.last().is_some_and(u8::is_ascii_alphanumeric)
            && label.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    };
    let good_port = port.is_none_or(|port| {
        port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    if name.as_bytes().split(|b| *b == b'.').all(label) && good_port {
        Ok(())
    } else {
        Err(InvalidImageRef::Host)
    }
}

/// Lower-case alphanumerics with `.`, `_`, `__` or any number of `-` between them.
fn is_path_component(component: &[u8]) -> bool {
    let is_word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut separator = Separator::None;
    for byte in component {
        separator = match (separator, byte) {
            // A component neither begins nor ends with a separator.
            (Separator::None, byte) if !is_word(byte) => return false,
            (_, byte) if is_word(byte) => Separator::Over,
            (Separator::Over, b'.') => Separator::Whole,
            (Separator::Over, b'_') => Separator::Underscore,
            (Separator::Underscore, b'_') => Separator::Whole,
            (Separator::Over | Separator::Dashes, b'-') => Separator::Dashes,
            _ => return false,
        };
    }
    separator == Separator::Over
}

/// What a path component's separator can go on with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Separator {
    /// Nothing was read yet.
    None,
    /// The last byte was no separator.
    Over,
    /// A `_`, which a second may follow.
    Underscore,
    /// Dashes, which more may follow.
    Dashes,
    /// A `.` or `__`, which nothing but a word may follow.
    Whole,
}

fn check_tag(tag: &str) -> Result<(), InvalidImageRef> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = tag.bytes();
    let good = tag.len() <= 128
        && bytes.next().is_some_and(word)
        && bytes.all(|b| word(b) || matches!(b, b'.' | b'-'));
    if good { Ok(()) } else { Err(InvalidImageRef::Tag) }
}

/// A name pattern of a policy's allowlist.
///
/// Compared with the reference as written, byte by byte. A trailing `*` matches the rest of the
/// path component, a trailing `**` matches the rest whatever it is; without them the whole text
/// must be equal. A pattern that names a tag never exempts a reference that also has a digest,
/// because the runtime would ignore the tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImagePattern {
    text: Arc<str>,
    prefix_len: usize,
    wildcard: Wildcard,
    names_tag: bool,
}

/// What a pattern ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wildcard {
    None,
    WithinComponent,
    Across,
}

/// Why a text is not an allowlist pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// Nothing was written.
    #[error("the pattern is empty")]
    Empty,
    /// Too long to be the beginning of any reference.
    #[error("the pattern is longer than {MAX_REFERENCE_LEN} characters")]
    TooLong,
    /// A wildcard not at the end.
    #[error("`{0}`: `*` and `**` are allowed at the end of a pattern only")]
    WildcardNotLast(String),
    /// A wildcard in the host.
    #[error("`{0}`: a wildcard is allowed only after `REGISTRY/`")]
    WildcardInHost(String),
    /// Something no reference can contain.
    #[error(
        "`{0}` cannot match any image reference: expected REGISTRY/PATH, perhaps with `:TAG` or `@sha256:DIGEST`"
    )]
    NotAReference(String),
}

/// Something about a pattern its author may not have meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternWarning {
    /// No tag, no digest, no wildcard: only a reference without both is exempt.
    ExemptsOnlyTheBareName,
    /// A wildcard after a partial path component also matches longer names.
    WildcardAfterPartialComponent,
    /// `*` does not cross a slash.
    StopsAtSlash,
    /// Everything in a whole registry is exempt.
    WholeRegistry,
    /// Tags can be moved to other content.
    ExemptsMutableTag,
    /// A tag and a digest: such a reference is never exempt by its tag.
    ExemptsNothing,
}

impl PatternWarning {
    /// A sentence for the pattern's author.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::ExemptsOnlyTheBareName => {
                "exempts only this exact text; an image written with a tag or a digest is not exempt (end the pattern with `*` for those)"
            }
            Self::WildcardAfterPartialComponent => {
                "the wildcard follows a partial name, so longer names that begin like it are exempt too (put a `/` before the wildcard)"
            }
            Self::StopsAtSlash => {
                "`*` does not match a `/`: images in sub-directories are not exempt (use `**` for those)"
            }
            Self::WholeRegistry => "exempts everything in this registry",
            Self::ExemptsNothing => {
                "exempts nothing: the runtime ignores a tag beside a digest, so a pattern with a tag never exempts such an image (leave the tag out)"
            }
            Self::ExemptsMutableTag => {
                "exempts a tag, and a tag can be moved to other content; a reference with tag and digest is not exempt"
            }
        }
    }
}

impl ImagePattern {
    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `image` is exempt.
    pub fn matches(&self, image: &ImageRef) -> bool {
        let matched = match image.as_written().strip_prefix(self.prefix()) {
            None => false,
            Some(rest) => match self.wildcard {
                Wildcard::None => rest.is_empty(),
                Wildcard::WithinComponent => !rest.contains('/'),
                Wildcard::Across => true,
            },
        };
        matched && !(self.names_tag && image.has_tag_and_digest())
    }

    /// What the pattern's author may not have meant.
    pub fn warnings(&self) -> Vec<PatternWarning> {
        let prefix = self.prefix();
        let last = prefix.rsplit('/').next().unwrap_or_default();
        let partial = !last.is_empty() && !last.contains([':', '@']);
        let mut warnings = Vec::new();
        match self.wildcard {
            Wildcard::None if partial => warnings.push(PatternWarning::ExemptsOnlyTheBareName),
            Wildcard::None => {}
            Wildcard::WithinComponent if partial => {
                warnings.push(PatternWarning::WildcardAfterPartialComponent);
            }
            Wildcard::WithinComponent if last.is_empty() => warnings.push(PatternWarning::StopsAtSlash),
            Wildcard::WithinComponent => {}
            Wildcard::Across if partial => warnings.push(PatternWarning::WildcardAfterPartialComponent),
            Wildcard::Across if prefix.matches('/').count() == 1 => {
                warnings.push(PatternWarning::WholeRegistry);
            }
            Wildcard::Across => {}
        }
        if self.names_tag {
            warnings.push(if self.text.contains('@') {
                PatternWarning::ExemptsNothing
            } else {
                PatternWarning::ExemptsMutableTag
            });
        }
        warnings
    }

    /// What stands before the wildcard.
    pub(crate) fn prefix(&self) -> &str {
        self.text.get(..self.prefix_len).unwrap_or_default()
    }

    pub(crate) fn wildcard(&self) -> Wildcard {
        self.wildcard
    }

    pub(crate) fn names_tag(&self) -> bool {
        self.names_tag
    }
}

/// Whether what stands before the wildcard names a tag. In a pattern without a slash the colon is a
/// tag's too: `loc-ref:1`.
fn names_tag(prefix: &str) -> bool {
    let last = prefix.rsplit('/').next().unwrap_or_default();
    last.split('@').next().unwrap_or_default().contains(':')
}

impl FromStr for ImagePattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if text.is_empty() {
            return Err(InvalidPattern::Empty);
        }
        if text.len() > MAX_REFERENCE_LEN {
            return Err(InvalidPattern::TooLong);
        }
        let prefix = text.trim_end_matches('*');
        let wildcard = match text.len() - prefix.len() {
            0 => Wildcard::None,
            1 => Wildcard::WithinComponent,
            2 => Wildcard::Across,
            _ => return Err(InvalidPattern::WildcardNotLast(text.to_owned())),
        };
        if prefix.contains('*') {
            return Err(InvalidPattern::WildcardNotLast(text.to_owned()));
        }
        if wildcard != Wildcard::None && !prefix.contains('/') {
            return Err(InvalidPattern::WildcardInHost(text.to_owned()));
        }
        if !can_begin_reference(prefix, wildcard) {
            return Err(InvalidPattern::NotAReference(text.to_owned()));
        }
        Ok(Self {
            text: text.into(),
            prefix_len: prefix.len(),
            wildcard,
            names_tag: names_tag(prefix),
        })
    }
}

/// Whether some reference equals (no wildcard) or begins with `prefix`.
///
/// A prefix may be cut anywhere, so it is completed by the shortest text that makes each kind of
/// ending whole; if none of the completions parses, nothing does.
fn can_begin_reference(prefix: &str, wildcard: Wildcard) -> bool {
    if wildcard == Wildcard::None {
        return prefix.parse::<ImageRef>().is_ok();
    }
    let digest_rest = prefix.split_once('@').map(|(_, digest)| {
        let whole = format!("sha256:{}", "0".repeat(64));
        whole.get(digest.len()..).unwrap_or_default().to_owned()
    });
    let completions = match digest_rest {
        Some(rest) => vec![rest],
        None => vec![String::new(), "a".to_owned()],
    };
    completions
        .iter()
        .any(|rest| format!("{prefix}{rest}").parse::<ImageRef>().is_ok())
}

impl fmt::Display for ImagePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ebb4fc0a57d010f1a983b74238e36ec0288f83afd4db68ffe9c58c2e927fea2d";

    fn pinned(repository: &str) -> String {
        format!("{repository}@sha256:{HEX}")
    }

    #[test]
    fn references_parse() {
        let tagged = [
            "nginx",
            "nginx:1",
            "gcr.io/p/i",
            "localhost/x:v1",
            "r.test:5000/a/b__c/d-e.f:T_1",
            "[::1]:5000/x",
        ];
        for text in tagged {
            assert!(
                matches!(text.parse::<ImageRef>(), Ok(ImageRef::Tagged(_))),
                "{text}"
            );
        }
        for text in [
            pinned("nginx"),
            pinned("r.test:5000/a/b:tag"),
            pinned("Registry.Test/app/web"),
        ] {
            assert!(
                matches!(text.parse::<ImageRef>(), Ok(ImageRef::Pinned(_))),
                "{text}"
            );
        }
        let image: ImageRef = pinned("r.test:5000/a/b:tag").parse().unwrap();
        assert_eq!(
            (image.repository(), image.host(), image.path()),
            ("r.test:5000/a/b", Some("r.test:5000"), "a/b")
        );
    }

    #[test]
    fn everything_else_is_refused() {
        let upper = HEX.to_uppercase();
        let bad = [
            String::new(),
            "registry.test/sys/../app/web".into(),
            "registry.test//sys/a".into(),
            "registry.test/sys/%2e%2e/app".into(),
            "registry.test/\u{430}pp/web".into(),
            format!("r.test/a@SHA256:{HEX}"),
            format!("r.test/a@sha256:{upper}"),
            format!("r.test/a@sha256:{}", &HEX[1..]),
            format!("r.test/a@sha256:{HEX}0"),
            format!("r.test/a@md5:{}", &HEX[..32]),
            format!("r.test/a@sha512:{HEX}{HEX}"),
            format!("r.test/a@sha256:{HEX}@sha256:{HEX}"),
            "[kube-system]registry.test/sys/a".into(),
            "https://registry.test/sys/a".into(),
            "registry.test/sys/a#x".into(),
            "u@registry.test/sys/a".into(),
            HEX.into(),
            format!("r.test/{}", "a".repeat(300)),
            format!("r.test/a:{}", "t".repeat(129)),
            "r.test/A/b".into(),
            "r.test/-a".into(),
            "r.test/a___b".into(),
            "r.test/a:".into(),
            "r.test:99999/a".into(),
            "r.test:/a".into(),
            "-r.test/a".into(),
            " r.test/a".into(),
            "r.test/a ".into(),
            "r.test/a\n".into(),
        ];
        for text in bad {
            assert!(text.parse::<ImageRef>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_in_brackets_is_hexadecimal_digits_and_colons() {
        for host in ["[::1]", "[::1]:5000", "[2001:db8::A]:1", "[::]"] {
            let image: ImageRef = format!("{host}/x").parse().unwrap();
            assert_eq!(image.host(), Some(host));
        }
        for host in [
            "[::ffff:1.2.3.4]:5000",
            "[::1.2.3.4]",
            "[1.2.3.4]",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "[::1",
            "::1]",
            "[]",
            "[:]",
            "[::1]5000",
            "[::1]:",
            "[[::1]]",
            "[::1].test",
            "[12345::]",
            "[1:2:3:4:5:6:7:8:9]",
        ] {
            assert!(format!("{host}/x").parse::<ImageRef>().is_err(), "{host}");
        }
    }

    /// A label that stands for other letters is a name of its own, shown as it is written.
    #[test]
    fn punycode_is_equal_to_nothing() {
        let image: ImageRef = "xn--80ak6aa92e.test/a".parse().unwrap();
        assert_eq!(image.host(), Some("xn--80ak6aa92e.test"));
        let exempts = |pattern: &str| pattern.parse::<ImagePattern>().unwrap().matches(&image);
        assert!(exempts("xn--80ak6aa92e.test/**"));
        for pattern in [
            "apple.test/**",
            "XN--80ak6aa92e.test/**",
            "xn--80ak6aa92f.test/**",
        ] {
            assert!(!exempts(pattern), "{pattern}");
        }
        assert!(
            "\u{430}\u{440}\u{440}\u{4cf}\u{435}.test/a"
                .parse::<ImageRef>()
                .is_err()
        );
    }

    #[test]
    fn lengths_have_limits() {
        use InvalidImageRef::{ImageId, Path, Tag, TooLong};
        let host = "r.test/";
        let name = |length: usize| format!("{host}{}", "a".repeat(length - host.len()));
        let tag = |length: usize| format!("r.test/a:{}", "t".repeat(length));
        let longest = format!("{}:{}@sha256:{HEX}", name(255), "t".repeat(128));
        let good = [
            name(255),
            "a".repeat(255),
            tag(1),
            tag(128),
            format!("{}:{}", name(255), "t".repeat(128)),
            longest.clone(),
            format!("r.test/{HEX}"),
            format!("library/{HEX}"),
            format!("{HEX}/a"),
            HEX[1..].to_owned(),
            format!("{HEX}0"),
        ];
        for text in good {
            assert_eq!(text.parse::<ImageRef>().map(|_| ()), Ok(()), "{text}");
        }
        let bad = [
            (name(256), TooLong),
            ("a".repeat(256), TooLong),
            (format!("{}:t", name(256)), TooLong),
            (format!("{}@sha256:{HEX}", name(256)), TooLong),
            (tag(0), Tag),
            (tag(129), Tag),
            (format!("{}@sha256:{HEX}", tag(129)), Tag),
            (format!("{longest}{}", "0".repeat(513 - longest.len())), TooLong),
            ("a".repeat(513), TooLong),
            (HEX.to_owned(), ImageId),
            (format!("{HEX}:v1"), ImageId),
            (format!("{HEX}@sha256:{HEX}"), ImageId),
            (format!("{HEX}:v1@sha256:{HEX}"), ImageId),
            (format!("r.test/{}", HEX.to_uppercase()), Path),
        ];
        for (text, why) in bad {
            assert_eq!(text.parse::<ImageRef>().map(|_| ()), Err(why), "{text}");
        }
    }

    #[test]
    fn patterns_match_as_documented() {
        let d = pinned;
        let table = [
            ("gcr.io/p/n*", "gcr.io/p/n:1".to_owned(), true),
            ("gcr.io/p/n*", d("gcr.io/p/n"), true),
            ("gcr.io/p/n*", "gcr.io/p/n/x".to_owned(), false),
            ("gcr.io/p/n**", "gcr.io/p/n-1/x:2".to_owned(), true),
            ("gcr.io/p/*", d("gcr.io/p/i:t"), true),
            ("registry.test/sys/*", "registry.test/sys/a:1".to_owned(), true),
            (
                "registry.test/sys/*",
                "registry.test/system/a:1".to_owned(),
                false,
            ),
            (
                "registry.test/sys/**",
                "evil.test/registry.test/sys/a".to_owned(),
                false,
            ),
            ("registry.test/sys/*", "REGISTRY.test/sys/a".to_owned(), false),
            (
                "registry.test/sys/*",
                "registry.test:8443/sys/a".to_owned(),
                false,
            ),
            (
                "registry.test/rel/app:v1.*",
                d("registry.test/rel/app:v1.2"),
                false,
            ),
            (
                "registry.test/rel/app:v1.*",
                "registry.test/rel/app:v1.2".to_owned(),
                true,
            ),
            ("docker.io/library/nginx*", "nginx".to_owned(), false),
            ("registry.test/sys/a", d("registry.test/sys/a"), false),
            ("registry.test/sys/a", "registry.test/sys/a".to_owned(), true),
            ("loc-ref", "loc-ref".to_owned(), true),
            ("loc-ref", "loc-ref:1".to_owned(), false),
            ("registry.test/a@*", d("registry.test/a"), true),
            ("registry.test/a@*", "registry.test/a:t".to_owned(), false),
            ("registry.test/a@sha256:ebb4*", d("registry.test/a"), true),
            ("registry.test/a@sha256:fbb4*", d("registry.test/a"), false),
            (
                "gcr.io/google-containers/*",
                "gcr.io/google-containers-evil/x".to_owned(),
                false,
            ),
        ];
        for (pattern, image, expected) in table {
            let parsed: ImagePattern = pattern.parse().unwrap();
            assert_eq!(
                parsed.matches(&image.parse().unwrap()),
                expected,
                "{pattern} {image}"
            );
        }
    }

    #[test]
    fn hostile_patterns_are_refused() {
        let long = format!("r.test/{}", "a".repeat(10_000));
        let bad = [
            "",
            "*",
            "**",
            "gcr.io*",
            "gcr.*/x",
            "gcr.io/a*b",
            "gcr.io/***",
            "/x*",
            "//x*",
            "https://gcr.io/*",
            "gcr.io/../x*",
            "gcr.io/A/*",
            "*.gcr.io/x",
            "gcr.io/x y*",
            "gcr.io/a@md5:*",
            "gcr.io/a@sha256:XY*",
            &long,
        ];
        for text in bad {
            assert!(text.parse::<ImagePattern>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn warnings_tell_what_was_probably_not_meant() {
        let warned = |text: &str| text.parse::<ImagePattern>().unwrap().warnings();
        assert_eq!(warned("gcr.io/p/i"), [PatternWarning::ExemptsOnlyTheBareName]);
        assert_eq!(
            warned("gcr.io/my-project**"),
            [PatternWarning::WildcardAfterPartialComponent]
        );
        assert_eq!(warned("registry.k8s.io/*"), [PatternWarning::StopsAtSlash]);
        assert_eq!(warned("gcr.io/**"), [PatternWarning::WholeRegistry]);
        assert_eq!(warned("gcr.io/p/i:v1"), [PatternWarning::ExemptsMutableTag]);
        assert_eq!(warned("gcr.io/p/**"), []);
        assert_eq!(
            warned(&format!("gcr.io/p/i:v1@sha256:{HEX}")),
            [PatternWarning::ExemptsNothing]
        );
        assert_eq!(warned("gcr.io/p/i:v1@*"), [PatternWarning::ExemptsNothing]);
        assert_eq!(warned(&format!("gcr.io/p/i@sha256:{HEX}")), []);
        assert_eq!(warned("r.test:5000/p/**"), []);
        assert_eq!(warned("loc-ref:1"), [PatternWarning::ExemptsMutableTag]);
    }
}
