//! `google.protobuf.FieldMask` as it comes in a query: `state,versionTemplate.algorithm`, camelCase or snake_case.

use crate::json::InvalidField;

/// Which fields an update touches. The empty mask and `*` mean all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldMask {
    /// camelCase; empty for "all".
    paths: Vec<String>,
}

impl FieldMask {
    /// Our messages have fewer than fifty fields.
    const MOST_PATHS: usize = 64;

    /// Reads a mask. Every path must be one of `allowed`, or lie under or over one of them.
    pub fn parse(text: &str, allowed: &[&str]) -> Result<FieldMask, InvalidField> {
        if text.is_empty() || text == "*" {
            return Ok(FieldMask::default());
        }
        let mut paths = Vec::new();
        for path in text.split(',').map(str::trim) {
            let path = camel(path);
            if !allowed
                .iter()
                .any(|known| covers(known, &path) || covers(&path, known))
            {
                let known = allowed
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(", ");
                let reason = format_args!(
                    "`{}` cannot be updated; expected some of {known}",
                    path.escape_debug()
                )
                .to_string();
                return Err(InvalidField::refused("updateMask", reason));
            }
            if paths.len() >= Self::MOST_PATHS {
                return Err(InvalidField::refused("updateMask", "has too many paths"));
            }
            paths.push(path);
        }
        Ok(FieldMask { paths })
    }

    /// As [`FieldMask::parse`], for messages whose parts are updated whole: a path inside of one of `allowed` is refused
    /// instead of changing more, or less, than it names.
    pub fn parse_whole(text: &str, allowed: &[&str]) -> Result<FieldMask, InvalidField> {
        let mask = FieldMask::parse(text, allowed)?;
        let inside = |path: &&String| !allowed.iter().any(|known| covers(path, known));
        match mask.paths.iter().find(inside) {
            None => Ok(mask),
            Some(path) => {
                let why = format_args!(
                    "`{}` cannot be updated alone; expected the field it is in",
                    path.escape_debug()
                )
                .to_string();
                Err(InvalidField::refused("updateMask", why))
            }
        }
    }

    /// True when every field is meant.
    pub fn is_all(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether the field (camelCase, dotted) is to be written: it, or an object around it, is named.
    pub fn covers(&self, field: &str) -> bool {
        self.is_all() || self.paths.iter().any(|path| covers(path, field))
    }
}

/// Whether `outer` is `inner` or an object around it.
fn covers(outer: &str, inner: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn camel(path: &str) -> String {
    let mut result = String::with_capacity(path.len());
    let mut raise = false;
    for letter in path.chars() {
        match letter {
            '_' => raise = true,
            _ if raise => {
                result.push(letter.to_ascii_uppercase());
                raise = false;
            }
            _ => result.push(letter),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: &[&str] = &["state", "labels", "versionTemplate.algorithm"];

    #[test]
    fn both_spellings_name_the_same_field() {
        for text in [
            "versionTemplate.algorithm",
            "version_template.algorithm",
            "state, version_template",
        ] {
            let mask = FieldMask::parse(text, ALLOWED).unwrap();
            assert!(mask.covers("versionTemplate.algorithm"), "{text}");
            assert!(!mask.covers("labels"), "{text}");
        }
    }

    #[test]
    fn empty_and_star_mean_everything() {
        for text in ["", "*"] {
            assert!(FieldMask::parse(text, ALLOWED).unwrap().covers("labels"));
        }
    }

    #[test]
    fn a_part_of_a_part_is_refused_where_parts_are_whole() {
        let mask = FieldMask::parse_whole("labels,version_template", ALLOWED).unwrap();
        assert!(mask.covers("versionTemplate.algorithm"));
        let error = FieldMask::parse_whole("labels.key", ALLOWED)
            .unwrap_err()
            .to_string();
        assert!(error.contains("`labels.key` cannot be updated alone"), "{error}");
        assert!(FieldMask::parse_whole("", ALLOWED).unwrap().is_all());
    }

    #[test]
    fn unknown_paths_are_refused() {
        for text in ["stat", "state,", "stateful", "versionTemplate.x", ",", "a.b"] {
            assert!(FieldMask::parse(text, ALLOWED).is_err(), "{text}");
        }
        let error = FieldMask::parse("primary", ALLOWED).unwrap_err().to_string();
        assert!(error.contains("`primary` cannot be updated"), "{error}");
    }
}
