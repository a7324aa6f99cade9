//! Names from flags: a short id with its project, or the full name, as gcloud takes both.

use std::{fmt::Display, str::FromStr};

use binauthz_core::name::{
    AttestorName, ClusterName, CryptoKeyName, InvalidName, KeyRingName, KeyVersionName, NoteName,
    OccurrenceName,
};

use crate::{failure::Failure, settings::Settings};

/// Parses a full name, or makes one of `short` by `complete`.
fn full_or<N>(text: &str, complete: impl FnOnce() -> Result<String, Failure>) -> Result<N, Failure>
where
    N: FromStr<Err = InvalidName>,
{
    let full = if text.contains('/') {
        text.to_owned()
    } else {
        complete()?
    };
    full.parse().map_err(Failure::usage)
}

/// The project of a flag, else of `--project`.
fn project_or<'a>(project: Option<&'a str>, settings: &'a Settings) -> Result<&'a str, Failure> {
    project.map_or_else(|| settings.project(), Ok)
}

/// `projects/P/attestors/A`.
pub(crate) fn attestor(
    text: &str,
    project: Option<&str>,
    settings: &Settings,
) -> Result<AttestorName, Failure> {
    full_or(text, || {
        Ok(format!(
            "projects/{}/attestors/{text}",
            project_or(project, settings)?
        ))
    })
}

/// `projects/P/notes/N`.
pub(crate) fn note(text: &str, project: Option<&str>, settings: &Settings) -> Result<NoteName, Failure> {
    full_or(text, || {
        Ok(format!(
            "projects/{}/notes/{text}",
            project_or(project, settings)?
        ))
    })
}

/// `projects/P/occurrences/O`.
pub(crate) fn occurrence(text: &str, settings: &Settings) -> Result<OccurrenceName, Failure> {
    full_or(text, || {
        Ok(format!("projects/{}/occurrences/{text}", settings.project()?))
    })
}

/// `projects/P/locations/L/clusters/C`.
pub(crate) fn cluster(text: &str, location: &str, settings: &Settings) -> Result<ClusterName, Failure> {
    full_or(text, || {
        Ok(format!(
            "projects/{}/locations/{location}/clusters/{text}",
            settings.project()?
        ))
    })
}

/// `projects/P/locations/L/keyRings/R`.
pub(crate) fn key_ring(
    text: &str,
    location: Option<&str>,
    settings: &Settings,
) -> Result<KeyRingName, Failure> {
    full_or(text, || {
        let location = required(location, "--location")?;
        Ok(format!(
            "projects/{}/locations/{location}/keyRings/{text}",
            settings.project()?
        ))
    })
}

/// `…/keyRings/R/cryptoKeys/K`.
pub(crate) fn crypto_key(
    text: &str,
    ring: Option<&str>,
    location: Option<&str>,
    settings: &Settings,
) -> Result<CryptoKeyName, Failure> {
    full_or(text, || {
        let ring = key_ring(required(ring, "--keyring")?, location, settings)?;
        Ok(format!("{ring}/cryptoKeys/{text}"))
    })
}

/// `…/cryptoKeys/K/cryptoKeyVersions/N`.
pub(crate) fn key_version(
    text: &str,
    key: impl FnOnce() -> Result<CryptoKeyName, Failure>,
) -> Result<KeyVersionName, Failure> {
    full_or(text, || Ok(format!("{}/cryptoKeyVersions/{text}", key()?)))
}

/// A flag that is needed unless the name is given in full.
pub(crate) fn required<'a>(value: Option<&'a str>, flag: &str) -> Result<&'a str, Failure> {
    value.ok_or_else(|| {
        Failure::usage(format_args!("{flag} is missing")).advise("give it, or give the resource's full name")
    })
}

/// The API path of a resource.
pub(crate) fn path(version: &str, name: &impl Display) -> String {
    format!("/{version}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::GlobalFlags;

    #[test]
    fn short_ids_take_the_project_and_full_names_do_not() {
        let flags = GlobalFlags {
            project: Some("demo".to_owned()),
            ..GlobalFlags::default()
        };
        let settings = Settings::new(flags);
        let table = [
            ("a", None, "projects/demo/attestors/a"),
            ("a", Some("other"), "projects/other/attestors/a"),
            ("projects/x/attestors/a", Some("other"), "projects/x/attestors/a"),
        ];
        for (text, project, expected) in table {
            assert_eq!(
                attestor(text, project, &settings).expect("a name").to_string(),
                expected
            );
        }
        for wrong in [
            "",
            "../x",
            "projects/x/notes/a",
            "a b",
            "projects/x/attestors/a/b",
        ] {
            assert!(attestor(wrong, None, &settings).is_err(), "{wrong}");
        }
        assert!(
            attestor("a", None, &Settings::new(GlobalFlags::default())).is_err(),
            "no project"
        );
    }

    #[test]
    fn a_key_version_is_five_flags_or_one_name() {
        let flags = GlobalFlags {
            project: Some("demo".to_owned()),
            ..GlobalFlags::default()
        };
        let settings = Settings::new(flags);
        let key = || crypto_key("k", Some("r"), Some("global"), &settings);
        let expected = "projects/demo/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";
        assert_eq!(key_version("1", key).expect("a name").to_string(), expected);
        assert_eq!(
            key_version(expected, || Err(Failure::usage("unused")))
                .expect("a name")
                .to_string(),
            expected
        );
        assert!(key_version("1", || crypto_key("k", None, Some("global"), &settings)).is_err());
        assert!(key_version("0", key).is_err());
    }
}
