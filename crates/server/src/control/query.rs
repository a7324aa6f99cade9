//! The query string of a call.

use super::error::ApiError;

/// The longest query string: a page token and a filter of 2 KiB each, percent-encoded threefold, and room to spare.
pub(super) const MAX_QUERY: usize = 16 * 1024;

/// The decoded pairs, in order. Names nobody asks for are ignored: `alt`, `prettyPrint`, `$alt`, `key` and their like are
/// Google's system parameters, and answers are JSON with names for enums in any case, which every client takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: Option<&str>) -> Result<Query, ApiError> {
        let text = text.unwrap_or_default();
        if text.len() > MAX_QUERY {
            return Err(ApiError::invalid_argument(format!(
                "the query string has {} bytes, expected at most {MAX_QUERY}",
                text.len()
            )));
        }
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode(name), decode(value)) {
                (Some(name), Some(value)) => pairs.push((name, value)),
                _ => {
                    return Err(ApiError::invalid_argument(
                        "the query string is not valid percent-encoded UTF-8",
                    ));
                }
            }
        }
        Ok(Query(pairs))
    }

    /// The pairs of a call that did not come with a query string. Their bytes are bounded by its message.
    pub(crate) fn of_pairs(pairs: Vec<(String, String)>) -> Query {
        Query(pairs)
    }

    /// These pairs and those; what both have is given twice.
    pub(super) fn and(mut self, other: Query) -> Query {
        self.0.extend(other.0);
        self
    }

    /// The value of a parameter in either spelling (`noteId`, `note_id`); an empty one counts as absent.
    pub(crate) fn string(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self
            .0
            .iter()
            .filter(|(key, _)| same_name(key, name))
            .map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(ApiError::invalid_argument(format!(
                "query parameter `{name}` is given twice, expected once"
            )));
        }
        Ok(first.filter(|value| !value.is_empty()))
    }

    /// A flag. Python writes `True`, so any case is taken.
    pub(crate) fn boolean(&self, name: &str) -> Result<bool, ApiError> {
        match self.string(name)?.map(str::to_ascii_lowercase).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(ApiError::invalid_argument(format!(
                "query parameter `{name}` is `{other}`, expected `true` or `false`"
            ))),
        }
    }

    /// A whole number from 0.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u32>, ApiError> {
        self.string(name)?
            .map(|text| {
                text.parse::<u32>().map_err(|_| {
                    ApiError::invalid_argument(format!(
                        "query parameter `{name}` is `{text}`, expected a whole number from 0"
                    ))
                })
            })
            .transpose()
    }
}

/// Form decoding: `+` is a blank here, unlike in a path.
fn decode(text: &str) -> Option<String> {
    if text.contains('+') {
        super::template::decode(&text.replace('+', "%20"))
    } else {
        super::template::decode(text)
    }
}

/// `note_id` is `noteId`: clients write either.
fn same_name(key: &str, name: &str) -> bool {
    if key == name {
        return true;
    }
    let mut spelled = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            spelled.push('_');
        }
        spelled.push(character.to_ascii_lowercase());
    }
    key == spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_once() {
        let query = Query::parse(Some(
            "alt=json&filter=has_suffix%28resourceUrl%2C+%22sha256%3Aab%22%29&pageSize=100&force=True&note_id=n&empty=&%24alt=json%3Benum-encoding%3Dint",
        ))
        .unwrap();
        assert_eq!(
            query.string("filter").unwrap(),
            Some("has_suffix(resourceUrl, \"sha256:ab\")")
        );
        assert_eq!(query.number("pageSize").unwrap(), Some(100));
        assert!(query.boolean("force").unwrap());
        assert!(!query.boolean("other").unwrap());
        assert_eq!(query.string("noteId").unwrap(), Some("n"));
        assert_eq!(query.string("empty").unwrap(), None);
        assert_eq!(query.string("$alt").unwrap(), Some("json;enum-encoding=int"));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["a=%zz", "a=%ff", "%2=b"] {
            assert!(Query::parse(Some(text)).is_err(), "{text}");
        }
        assert!(Query::parse(Some(&"a".repeat(MAX_QUERY + 1))).is_err());
        let query = Query::parse(Some("pageSize=-1&force=maybe&twice=1&twice=2&noteId=a&note_id=b")).unwrap();
        assert!(query.number("pageSize").is_err());
        assert!(query.boolean("force").is_err());
        assert!(query.string("twice").is_err());
        assert!(query.string("noteId").is_err());
    }
}
