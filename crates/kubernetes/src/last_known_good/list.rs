//! The list of what may start, as keys of a ConfigMap: a key is found at once, however long the list is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// An API server takes 1 MiB of keys and values in a ConfigMap.
const LIST_BYTES_MAX: usize = 1_000_000;
/// Longest key of a ConfigMap.
const KEY_BYTES_MAX: usize = 253;

/// One thing that may start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Start {
    /// Where.
    pub namespace: String,
    /// As which service account.
    pub account: String,
    /// The image, as it is written in the Pod.
    pub image: String,
}

/// The entries of the list, as many as have room, and how many had none.
#[must_use]
pub fn list(approved: &BTreeSet<Start>) -> (Map<String, Value>, usize) {
    let mut scopes: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for start in approved {
        let scope = (start.namespace.as_str(), start.account.as_str());
        scopes.entry(scope).or_default().push(&start.image);
    }
    let (mut data, mut bytes, mut left_out) = (Map::new(), 0, 0);
    for (id, ((namespace, account), images)) in scopes.into_iter().enumerate() {
        let id = format!("{id:x}");
        let scope = format!("s.{namespace}.{account}");
        bytes += scope.len() + id.len();
        let scope_is_kept = scope.len() <= KEY_BYTES_MAX && bytes <= LIST_BYTES_MAX;
        if scope_is_kept {
            data.insert(scope, json!(id));
        }
        for image in images {
            let key = key(&id, image);
            bytes += key.len();
            if scope_is_kept && key.len() <= KEY_BYTES_MAX && bytes <= LIST_BYTES_MAX {
                data.insert(key, json!(""));
            } else {
                left_out += 1;
            }
        }
    }
    (data, left_out)
}

/// What stands for an image in the list: its digest where it has one, because a digest is the same bytes under every name.
/// `_` is what no repository's separators become, so two texts never become one key.
fn key(scope: &str, image: &str) -> String {
    match image.rsplit_once("@sha256:") {
        Some((name, digest)) if !name.is_empty() && !name.contains('@') && is_hex_digest(digest) => {
            format!("{scope}.{digest}")
        }
        _ => {
            let escaped = image
                .replace('_', "_u")
                .replace('/', "_s")
                .replace(':', "_c")
                .replace('@', "_a");
            format!("{scope}_{escaped}")
        }
    }
}

fn is_hex_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(namespace: &str, account: &str, image: &str) -> Start {
        Start {
            namespace: namespace.to_owned(),
            account: account.to_owned(),
            image: image.to_owned(),
        }
    }

    fn digest(digit: &str) -> String {
        format!("x.example/a@sha256:{}", digit.repeat(64))
    }

    #[test]
    fn the_list_tells_apart_what_is_apart() {
        let images = [
            digest("a"),
            digest("b"),
            digest("A"),
            format!("{}@sha256:{}", "x@y", "a".repeat(64)),
            format!("@sha256:{}", "a".repeat(64)),
            "x/a_b:1".to_owned(),
            "x/a/b:1".to_owned(),
            "x_sa_sb_c1".to_owned(),
            "x/a_ub:1".to_owned(),
        ];
        let keys: BTreeSet<String> = images.iter().map(|image| key("0", image)).collect();
        assert_eq!(keys.len(), images.len());
        // The same bytes by another name, and no other's.
        let other = digest("a").replace("x.example/a", "y.example/b");
        assert_eq!(key("0", &digest("a")), key("0", &other));
        assert_ne!(key("0", &digest("a")), key("1", &digest("a")));
    }

    #[test]
    fn the_list_has_each_in_its_scope_and_says_what_has_no_room() {
        let approved = BTreeSet::from([
            start("prod", "default", &digest("a")),
            start("prod", "builder", "registry.k8s.io/pause:3.9"),
            start("prod", "default", &format!("x/{}", "y".repeat(KEY_BYTES_MAX))),
        ]);
        let (list, left_out) = list(&approved);
        assert_eq!(left_out, 1);
        let expected = json!({
            "s.prod.builder": "0",
            "0_registry.k8s.io_spause_c3.9": "",
            "s.prod.default": "1",
            (format!("1.{}", "a".repeat(64))): "",
        });
        assert_eq!(Value::Object(list), expected);
    }

    #[test]
    fn ten_thousand_have_room_and_no_list_is_longer_than_an_api_server_takes() {
        let many = |count: usize| -> BTreeSet<Start> {
            let image = |n: usize| format!("x/a@sha256:{n:064x}");
            (0..count)
                .map(|n| start(&format!("n-{}", n % 100), "default", &image(n)))
                .collect()
        };
        assert_eq!(list(&many(10_000)).1, 0);
        let (data, left_out) = list(&many(20_000));
        let bytes: usize = data
            .iter()
            .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
            .sum();
        assert!(left_out > 0 && bytes <= LIST_BYTES_MAX, "{left_out} {bytes}");
        let images = data.keys().filter(|key| !key.starts_with("s.")).count();
        assert_eq!(images, 20_000 - left_out);
    }
}
