//! Every permission there is, and patterns of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::control::routes::{self, Class, Guard};

/// Permissions that no address asks for by itself; handlers and other rules do. The second word says what they are like.
const MORE: [(&str, Class); 3] = [
    ("binaryauthorization.policy.evaluatePolicy", Class::Read),
    ("cloudkms.cryptoKeyVersions.useToVerify", Class::Read),
    ("containeranalysis.notes.attachOccurrence", Class::Write),
];

/// What a permission is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    class: Class,
    /// About no project: no role that is given in a project has it.
    is_of_installation: bool,
}

fn facts() -> &'static BTreeMap<&'static str, Facts> {
    static ALL: LazyLock<BTreeMap<&'static str, Facts>> = LazyLock::new(|| {
        let of_project = |class| Facts {
            class,
            is_of_installation: false,
        };
        let mut all: BTreeMap<&str, Facts> = MORE
            .into_iter()
            .map(|(name, class)| (name, of_project(class)))
            .collect();
        for route in routes::all() {
            let facts = all.entry(route.permission).or_insert(of_project(route.class));
            // What some address needs for a change is no right of those who only read.
            if route.class != Class::Read {
                facts.class = route.class;
            }
            facts.is_of_installation |= route.guard() == Guard::Installation;
        }
        all
    });
    &ALL
}

/// Those that roles give in projects, in their order.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    let of_projects = facts().iter().filter(|(_, facts)| !facts.is_of_installation);
    of_projects.map(|(name, _)| *name)
}

/// The permission of this name, if roles can give it, for as long as the program runs.
pub(crate) fn known(name: &str) -> Option<&'static str> {
    let (name, facts) = facts().get_key_value(name)?;
    (!facts.is_of_installation).then_some(*name)
}

/// Whether it changes nothing and uses no private key.
pub(crate) fn reads(permission: &str) -> bool {
    facts()
        .get(permission)
        .is_some_and(|facts| facts.class == Class::Read)
}

/// Whether a pattern matches any permission at all.
pub(crate) fn is_pattern(pattern: &str) -> bool {
    facts().keys().any(|permission| matches(pattern, permission))
}

/// Whether a permission is one of a pattern: dot by dot, a `*` for any one word, and a last `*` for one or more.
pub(crate) fn matches(pattern: &str, permission: &str) -> bool {
    let mut words = permission.split('.');
    let mut patterns = pattern.split('.').peekable();
    while let Some(pattern) = patterns.next() {
        let Some(word) = words.next() else {
            return false;
        };
        if pattern == "*" && patterns.peek().is_none() {
            return true;
        }
        let is_like = match pattern.strip_suffix('*') {
            Some(beginning) => word.starts_with(beginning),
            None => word == pattern,
        };
        if !is_like {
            return false;
        }
    }
    words.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_word_by_word() {
        for (pattern, permission, expected) in [
            ("a.b.c", "a.b.c", true),
            ("a.b.c", "a.b.d", false),
            ("a.b.c", "a.b.c.d", false),
            ("a.b.c.d", "a.b.c", false),
            ("a.*", "a.b.c", true),
            ("a.*", "a", false),
            ("a.*", "ab.c.d", false),
            ("*", "a.b.c", true),
            ("*.*.get", "a.b.get", true),
            ("*.*.get", "a.b.getIamPolicy", false),
            ("*.*.get*", "a.b.getIamPolicy", true),
            ("a.*.list", "a.b.get", false),
            ("", "a.b.c", false),
        ] {
            assert_eq!(matches(pattern, permission), expected, "{pattern} {permission}");
        }
    }

    #[test]
    fn what_uses_a_key_or_changes_something_is_no_reading() {
        for permission in [
            "cloudkms.cryptoKeyVersions.useToSign",
            "binaryauthorization.policy.update",
            "logging.logEntries.create",
            "containeranalysis.notes.attachOccurrence",
            "binauthz.tokens.create",
            "no.such.permission",
        ] {
            assert!(!reads(permission), "{permission}");
        }
        assert!(reads("binaryauthorization.policy.get") && reads("binauthz.tokens.list"));
        assert!(known("binauthz.tokens.list").is_none());
        assert!(is_pattern("binauthz.tokens.*") && !is_pattern("binauthz.token.*"));
        assert!(known("binaryauthorization.policy.get").is_some() && known("a.b.c").is_none());
    }
}
