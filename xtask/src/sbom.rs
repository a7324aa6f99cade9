//! What a release consists of: a bill of materials in CycloneDX, from what cargo builds and from Cargo.lock. It says the same
//! each time it is made of the same: no time, no number of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::tidy::CannotLook;
use crate::tidy::metadata::cargo;

/// The package that is released.
const PRODUCT: &str = "binauthz";
const SPECIFICATION: &str = "1.6";

/// The document.
///
/// # Errors
/// [`CannotLook`] when cargo or the lock file says nothing.
pub fn write(root: &Path) -> Result<String, CannotLook> {
    let tree = [
        "tree",
        "--package",
        PRODUCT,
        "--edges",
        "normal",
        "--offline",
        "--locked",
        "--target",
        "x86_64-unknown-linux-gnu",
        "--prefix",
        "none",
        "--format",
        "{p}|{l}",
    ];
    let listing = String::from_utf8_lossy(&cargo(root, &tree)?).into_owned();
    let lock = std::fs::read_to_string(root.join("Cargo.lock"))
        .map_err(|error| CannotLook(format!("Cargo.lock: {error}")))?;
    let document = bill(&listing, &checksums(&lock))?;
    Ok(format!("{document:#}\n"))
}

/// Name and version of a package, and its licence.
type Part<'a> = (&'a str, &'a str, &'a str);

fn parts(listing: &str) -> BTreeSet<Part<'_>> {
    let part = |line| -> Option<Part<'_>> {
        let (package, licence) = str::split_once(line, '|')?;
        let mut words = package.split(' ');
        let (name, version) = (words.next()?, words.next()?);
        // A package that was listed before is marked by a star.
        Some((name, version.strip_prefix('v')?, licence.trim_end_matches(" (*)")))
    };
    listing.lines().filter_map(part).collect()
}

fn bill(listing: &str, checksums: &BTreeMap<(&str, &str), &str>) -> Result<Value, CannotLook> {
    let parts = parts(listing);
    let product = parts
        .iter()
        .find(|(name, ..)| *name == PRODUCT)
        .ok_or_else(|| CannotLook(format!("`cargo tree` does not list `{PRODUCT}`")))?;
    let components: Vec<Value> = parts
        .iter()
        .filter(|part| *part != product)
        .map(|part| component("library", part, checksums))
        .collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": { "component": component("application", product, checksums) },
        "components": components,
    }))
}

fn component(
    kind: &str,
    (name, version, licence): &Part<'_>,
    checksums: &BTreeMap<(&str, &str), &str>,
) -> Value {
    let reference = format!("pkg:cargo/{name}@{version}");
    let mut component = json!({
        "type": kind, "bom-ref": reference, "name": name, "version": version, "purl": reference,
    });
    if !licence.is_empty() {
        // Cargo's older way to say OR.
        let expression = licence.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ");
        component["licenses"] = json!([{ "expression": expression }]);
    }
    if let Some(checksum) = checksums.get(&(*name, *version)) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

/// What Cargo.lock says that a package's archive hashes to.
fn checksums(lock: &str) -> BTreeMap<(&str, &str), &str> {
    let mut found = BTreeMap::new();
    for block in lock.split("[[package]]") {
        let value = |key: &str| {
            block
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'))
        };
        if let (Some(name), Some(version), Some(checksum)) =
            (value("name"), value("version"), value("checksum"))
        {
            found.insert((name, version), checksum);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "binauthz v0.1.0 (/somewhere)|Apache-2.0\nserde v1.0.2|MIT OR Apache-2.0\nold v0.3.0|MIT / Apache-2.0\n\
                           serde v1.0.2|MIT OR Apache-2.0 (*)\n\n";
    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"serde\"\nversion = \"1.0.2\"\nsource = \"registry\"\nchecksum = \"abc\"\n\n\
                        [[package]]\nname = \"binauthz\"\nversion = \"0.1.0\"\n";

    #[test]
    fn every_package_is_in_it_once_with_its_licence_and_its_hash() {
        let bill = bill(LISTING, &checksums(LOCK)).unwrap();
        assert_eq!(bill["metadata"]["component"]["purl"], "pkg:cargo/binauthz@0.1.0");
        let components = bill["components"].as_array().unwrap();
        assert_eq!(components.len(), 2, "{bill:#}");
        assert_eq!(components[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(components[0]["hashes"], Value::Null);
        assert_eq!(components[1]["hashes"][0]["content"], "abc");
        assert!(!bill.to_string().contains("somewhere"));
    }

    #[test]
    fn without_the_product_there_is_none() {
        assert!(bill("serde v1.0.2|MIT\n", &BTreeMap::new()).is_err());
        assert!(bill("", &BTreeMap::new()).is_err());
    }

    #[test]
    fn this_repository_has_one() {
        let text = write(&crate::repository_root()).unwrap();
        let bill: Value = serde_json::from_str(&text).unwrap();
        let components = bill["components"].as_array().unwrap();
        let find = |name: &str| components.iter().find(|one| one["name"] == name);
        assert_eq!(
            find("rustls").unwrap()["hashes"][0]["content"]
                .as_str()
                .unwrap()
                .len(),
            64
        );
        assert!(find("binauthz-core").is_some() && find("binauthz-benches").is_none());
        for component in components {
            assert!(component["licenses"][0]["expression"].is_string(), "{component}");
        }
        assert_eq!(text, write(&crate::repository_root()).unwrap());
    }
}
