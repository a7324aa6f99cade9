//! What a permission is asked about, and what passes its grants down to it.

use crate::control::routes::Route;

/// What a permission is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On<'a> {
    /// Nothing of a project.
    Installation,
    /// A resource of a project, by its name without a service: `projects/p/notes/n`.
    Resource(&'a str),
}

impl<'a> On<'a> {
    /// The project it is of.
    pub(crate) fn project(self) -> Option<&'a str> {
        let On::Resource(name) = self else {
            return None;
        };
        name.strip_prefix("projects/")?.split('/').next()
    }

    /// What has an IAM policy that counts for it: itself, and what it lies in, up to its project.
    pub(crate) fn chain(self) -> Vec<&'a str> {
        let On::Resource(name) = self else {
            return Vec::new();
        };
        let ends = name.match_indices('/').map(|(at, _)| at).chain([name.len()]);
        let mut chain: Vec<&str> = ends
            .skip(1)
            .filter_map(|end| name.get(..end))
            .filter(|name| is_place(name))
            .collect();
        chain.reverse();
        chain
    }
}

/// Whether a name is one of something with an IAM policy: pairs of a collection and an id, but for what a project has one of;
/// a location has none.
fn is_place(name: &str) -> bool {
    let mut words = name.rsplit('/');
    let (id, collection) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_pair = name.split('/').count().is_multiple_of(2);
    match is_pair {
        true => collection != "locations" && !id.is_empty(),
        false => matches!(id, "policy" | "continuousValidationConfig") && words.count() == 1,
    }
}

/// What the call of an address is about: the deepest thing in its path that has an IAM policy. None if something in the path
/// cannot be a part of a name, which nothing is granted on.
pub(crate) fn named(route: &Route, params: &[(&'static str, String)]) -> Option<String> {
    let param = |names: &[&str]| {
        let found = params.iter().find(|(name, _)| names.contains(name));
        found.map(|(_, value)| value.as_str())
    };
    let mut name = format!("projects/{}", param(&["project"])?);
    if let (Some(location), Some(ring)) = (param(&["location"]), param(&["ring", "key_ring"])) {
        name.push_str(&format!("/locations/{location}/keyRings/{ring}"));
        if let Some(key) = param(&["key", "crypto_key"]) {
            name.push_str(&format!("/cryptoKeys/{key}"));
        }
    }
    for (names, collection) in [
        (["attestor"], "attestors"),
        (["note"], "notes"),
        (["occurrence"], "occurrences"),
    ] {
        if let Some(id) = param(&names) {
            name.push_str(&format!("/{collection}/{id}"));
        }
    }
    let rest = route.template.strip_prefix("/{version}/projects/{project}/");
    for only in ["policy", "continuousValidationConfig"] {
        let is_it = rest.and_then(|rest| rest.strip_prefix(only));
        if is_it.is_some_and(|rest| rest.is_empty() || rest.starts_with(':')) {
            name.push_str(&format!("/{only}"));
        }
    }
    let is_plain = |(_, value): &(&str, String)| !value.contains('/') || route.template.ends_with("**}");
    params.iter().all(is_plain).then_some(name)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::control::routes;

    #[test]
    fn a_resource_lies_in_others() {
        for (name, expected) in [
            ("projects/p", vec!["projects/p"]),
            ("projects/p/policy", vec!["projects/p/policy", "projects/p"]),
            ("projects/p/notes/n", vec!["projects/p/notes/n", "projects/p"]),
            (
                "projects/p/notes/policy",
                vec!["projects/p/notes/policy", "projects/p"],
            ),
            (
                "projects/p/locations/l/keyRings/r/cryptoKeys/k",
                vec![
                    "projects/p/locations/l/keyRings/r/cryptoKeys/k",
                    "projects/p/locations/l/keyRings/r",
                    "projects/p",
                ],
            ),
            ("projects/", vec![]),
            ("projects", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(On::Resource(name).chain(), expected, "{name}");
        }
        assert!(On::Installation.chain().is_empty());
        assert_eq!(On::Resource("projects/p/notes/n").project(), Some("p"));
        assert_eq!(On::Installation.project(), None);
    }

    #[test]
    fn an_address_is_about_the_deepest_resource_of_its_path() {
        for (path, expected) in [
            ("/v1/projects/p", "projects/p"),
            ("/v1/projects/p:testIamPermissions", "projects/p"),
            ("/v1/projects/p/policy", "projects/p/policy"),
            ("/v3/projects/p/alertPolicies/x", "projects/p"),
            ("/v1/projects/p/attestors", "projects/p"),
            ("/v1/projects/p/attestors/a", "projects/p/attestors/a"),
            ("/v1/projects/p/notes/n/occurrences", "projects/p/notes/n"),
            ("/v1/projects/p/occurrences/o/notes", "projects/p/occurrences/o"),
            (
                "/v1/projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
                "projects/p/locations/l/keyRings/r/cryptoKeys/k",
            ),
            ("/v1/projects/p/locations/l/keyRings", "projects/p"),
            ("/v1/projects/p/locations/l/clusters/c", "projects/p"),
        ] {
            let (route, params) = routes::captured_at(&Method::GET, path)
                .or_else(|| routes::captured_at(&Method::POST, path))
                .unwrap_or_else(|| panic!("{path}"));
            assert_eq!(named(route, &params).as_deref(), Some(expected), "{path}");
        }
        for path in ["/v1/projects/p%2Fnotes%2Fn/policy", "/v1/projects/p/notes/a%2Fb"] {
            let (route, params) = routes::captured_at(&Method::GET, path).unwrap();
            assert_eq!(named(route, &params), None, "{path}");
        }
    }
}
