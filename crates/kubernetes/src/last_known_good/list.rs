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

/// The entries of the list, as many as have room, and how many of which namespace had none. A namespace with many of them
/// takes no room from those with few.
#[must_use]
pub fn list(approved: &BTreeSet<Start>) -> (Map<String, Value>, BTreeMap<String, usize>) {
    let mut left_out = BTreeMap::new();
    let namespaces = namespaces(approved, &mut left_out);
    let bytes = |scopes: &Vec<Scope>| scopes.iter().map(Scope::bytes).sum();
    let needs: BTreeMap<&str, usize> = namespaces
        .iter()
        .map(|(namespace, scopes)| (*namespace, bytes(scopes)))
        .collect();
    let shares = fair_shares(&needs, LIST_BYTES_MAX);
    let mut data = Map::new();
    for (namespace, scopes) in namespaces {
        let mut room = shares.get(namespace).copied().unwrap_or(0);
        for scope in scopes {
            let missing = scope.write(&mut room, &mut data);
            if missing > 0 {
                *left_out.entry(namespace.to_owned()).or_default() += missing;
            }
        }
    }
    (data, left_out)
}

/// How much of a room each may have: who needs less than an equal share has that, and what it leaves is shared by the
/// others.
#[must_use]
pub fn fair_shares<K: Ord + Clone>(needs: &BTreeMap<K, usize>, room: usize) -> BTreeMap<K, usize> {
    let mut by_need: Vec<(&K, usize)> = needs.iter().map(|(who, need)| (who, *need)).collect();
    by_need.sort_by_key(|(_, need)| *need);
    let (mut room, mut others) = (room, by_need.len());
    let mut shares = BTreeMap::new();
    for (who, need) in by_need {
        let share = need.min(room.checked_div(others).unwrap_or(0));
        room -= share;
        others -= 1;
        shares.insert(who.clone(), share);
    }
    shares
}

/// What may start in one namespace as one account.
struct Scope {
    key: String,
    id: String,
    images: BTreeSet<String>,
}

/// The scopes of each namespace; what has no key is counted.
fn namespaces<'a>(
    approved: &'a BTreeSet<Start>,
    left_out: &mut BTreeMap<String, usize>,
) -> BTreeMap<&'a str, Vec<Scope>> {
    let mut scopes: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for start in approved {
        let scope = (start.namespace.as_str(), start.account.as_str());
        scopes.entry(scope).or_default().push(&start.image);
    }
    let mut namespaces: BTreeMap<&str, Vec<Scope>> = BTreeMap::new();
    for (id, ((namespace, account), images)) in scopes.into_iter().enumerate() {
        let (id, scope) = (format!("{id:x}"), format!("s.{namespace}.{account}"));
        let is_kept = scope.len() <= KEY_BYTES_MAX;
        let keys = images.iter().map(|image| key(&id, image));
        let (kept, too_long): (BTreeSet<String>, BTreeSet<String>) =
            keys.partition(|key| is_kept && key.len() <= KEY_BYTES_MAX);
        if !too_long.is_empty() {
            *left_out.entry(namespace.to_owned()).or_default() += too_long.len();
        }
        if !kept.is_empty() {
            namespaces.entry(namespace).or_default().push(Scope {
                key: scope,
                id,
                images: kept,
            });
        }
    }
    namespaces
}

impl Scope {
    fn bytes(&self) -> usize {
        let images: usize = self.images.iter().map(String::len).sum();
        self.key.len() + self.id.len() + images
    }

    /// Writes what has room, and takes that; how many images had none.
    fn write(self, room: &mut usize, data: &mut Map<String, Value>) -> usize {
        let mut take = |bytes: usize| match room.checked_sub(bytes) {
            Some(left) => {
                *room = left;
                true
            }
            None => false,
        };
        if !take(self.key.len() + self.id.len()) {
            return self.images.len();
        }
        data.insert(self.key, json!(self.id));
        let mut missing = 0;
        for image in self.images {
            if take(image.len()) {
                data.insert(image, json!(""));
            } else {
                missing += 1;
            }
        }
        missing
    }
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
        assert_eq!(left_out, BTreeMap::from([("prod".to_owned(), 1)]));
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
        assert_eq!(list(&many(10_000)).1, BTreeMap::new());
        let (data, left_out) = list(&many(20_000));
        let left_out: usize = left_out.values().sum();
        let bytes: usize = data
            .iter()
            .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
            .sum();
        assert!(left_out > 0 && bytes <= LIST_BYTES_MAX, "{left_out} {bytes}");
        let images = data.keys().filter(|key| !key.starts_with("s.")).count();
        assert_eq!(images, 20_000 - left_out);
    }
    #[test]
    fn nobody_is_pushed_out_by_who_needs_more() {
        let shares = |needs: &[(&'static str, usize)], room| {
            let needs: BTreeMap<&str, usize> = needs.iter().copied().collect();
            fair_shares(&needs, room).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(shares(&[], 10), []);
        assert_eq!(shares(&[("a", 3), ("b", 4)], 10), [("a", 3), ("b", 4)]);
        assert_eq!(shares(&[("a", 900), ("b", 4)], 10), [("a", 6), ("b", 4)]);
        assert_eq!(
            shares(&[("a", 900), ("b", 4), ("c", 800)], 10),
            [("a", 4), ("b", 3), ("c", 3)]
        );
        assert_eq!(shares(&[("a", 9), ("b", 9)], 0), [("a", 0), ("b", 0)]);

        let many = (0..30_000).map(|n| start("a-greedy", "default", &format!("x/a@sha256:{n:064x}")));
        let few = (0..100).map(|n| start(&format!("n-{n}"), "default", "registry.k8s.io/pause:3.9"));
        let (data, left_out) = list(&many.chain(few).collect());
        let left: Vec<&str> = left_out.keys().map(String::as_str).collect();
        assert_eq!(left, ["a-greedy"]);
        let pauses = data.keys().filter(|key| key.ends_with("_spause_c3.9")).count();
        assert_eq!(pauses, 100);
        assert!(data.len() > 10_000);
    }
}
