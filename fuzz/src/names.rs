//! Names: of images, of resources, and the patterns over them.

use std::fmt::Display;
use std::str::FromStr;

use binauthz_core::image::{Digest, ImagePattern, ImageRef, MAX_REFERENCE_LEN};
use binauthz_core::name::{
    AttestorName, ClusterKey, ClusterName, CryptoKeyName, KeyRingName, KeyVersionName, NoteName,
    OccurrenceName, ProjectId, ResourceId,
};

use crate::Outcome;

pub(crate) fn image_reference(bytes: &[u8]) -> Outcome {
    Outcome::of_text(bytes, |text| {
        let read = text.parse::<ImageRef>();
        if let Ok(image) = &read {
            check_reference(text, image);
        }
        Outcome::of(&read)
    })
}

/// A reference is what was written, of printable ASCII, and pinned exactly if it says which digest.
fn check_reference(text: &str, image: &ImageRef) {
    assert_eq!(image.as_written(), text, "the text as written is kept");
    assert!(text.len() <= MAX_REFERENCE_LEN && text.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(
        text.starts_with(image.repository()),
        "`{text}` does not begin with its repository"
    );
    assert!(
        !image.repository().contains("..") && !text.contains("//"),
        "`{text}` walks"
    );
    match image {
        ImageRef::Pinned(pinned) => {
            let digest = pinned.digest().to_string();
            assert!(
                text.ends_with(&format!("@{digest}")),
                "`{text}` is not about {digest}"
            );
            assert_eq!(text.matches('@').count(), 1);
            assert_eq!(digest.parse::<Digest>().as_ref(), Ok(pinned.digest()));
        }
        ImageRef::Tagged(_) => assert!(
            !text.contains('@'),
            "`{text}` names a digest and is called tagged"
        ),
    }
}

/// A pattern and, on further lines, references.
pub(crate) fn allowlist_pattern(bytes: &[u8]) -> Outcome {
    Outcome::of_text(bytes, |text| {
        let (pattern, references) = text.split_once('\n').unwrap_or((text, ""));
        let read = pattern.parse::<ImagePattern>();
        if let Ok(read) = &read {
            assert_eq!(read.as_str(), pattern);
            let _ = read.warnings();
            for image in references.lines().filter_map(|line| line.parse().ok()) {
                check_match(read, &image);
            }
        }
        Outcome::of(&read)
    })
}

/// Whoever is exempt has the registry that the pattern names, and begins as the pattern does before its wildcard.
fn check_match(pattern: &ImagePattern, image: &ImageRef) {
    if !pattern.matches(image) {
        return;
    }
    let (pattern, image) = (pattern.as_str(), image.as_written());
    let fixed = pattern.trim_end_matches('*');
    assert!(image.starts_with(fixed), "`{pattern}` exempts `{image}`");
    let stars = pattern.len() - fixed.len();
    let rest = &image[fixed.len()..];
    assert!(
        stars <= 2 && (stars > 0 || rest.is_empty()),
        "`{pattern}` exempts `{image}`"
    );
    assert!(
        stars == 2 || !rest.contains('/'),
        "`{pattern}` crosses a slash to `{image}`"
    );
    assert!(
        stars == 0 || fixed.contains('/'),
        "`{pattern}` has its wildcard in the host"
    );
}

pub(crate) fn resource_name(bytes: &[u8]) -> Outcome {
    Outcome::of_text(bytes, |text| {
        let kinds = [
            round_trips::<AttestorName>(text),
            round_trips::<NoteName>(text),
            round_trips::<OccurrenceName>(text),
            round_trips::<ClusterName>(text),
            round_trips::<KeyRingName>(text),
            round_trips::<CryptoKeyName>(text),
            round_trips::<KeyVersionName>(text),
        ];
        let count = kinds.into_iter().filter(|is_one| *is_one).count();
        assert!(count <= 1, "`{text}` is a name of {count} kinds");
        for id in text.split('/') {
            round_trips::<ProjectId>(id);
            round_trips::<ResourceId>(id);
        }
        round_trips::<ClusterKey>(text);
        if count == 1 {
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(
                text.split('/').all(|segment| !matches!(segment, "" | "." | "..")),
                "`{text}` walks"
            );
            Outcome::Read
        } else {
            Outcome::Refused
        }
    })
}

/// Whether the text is such a name; one is written as it was read.
fn round_trips<T: FromStr + Display>(text: &str) -> bool {
    let Ok(name) = text.parse::<T>() else {
        return false;
    };
    assert_eq!(name.to_string(), text);
    true
}
