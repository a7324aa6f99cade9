//! The query string of a call.

use binauthz_wire::json::Value;

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

    /// What the parameters of a message's fields say, as the message would: `a.b=c` is `b` within `a`. Those of `lists`
    /// are lists however often they are given.
    pub(crate) fn message(&self, fields: &[&str], lists: &[&str]) -> Value {
        let mut message = Value::empty_object();
        for (key, value) in &self.0 {
            let mut path = key.split('.');
            if !fields
                .iter()
                .any(|field| path.clone().next().is_some_and(|first| same_name(first, field)))
            {
                continue;
            }
            let is_list = lists.iter().any(|list| same_path(key, list));
            put(&mut message, &mut path, Value::String(value.clone()), is_list);
        }
        message
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

/// Whether both have the same names in the same order.
fn same_path(key: &str, path: &str) -> bool {
    let (mut keys, mut names) = (key.split('.'), path.split('.'));
    keys.by_ref()
        .zip(names.by_ref())
        .all(|(key, name)| same_name(key, name))
        && key.split('.').count() == path.split('.').count()
}

/// Puts a value where its path leads. What is given twice and is no list stays there twice, for the reader to refuse.
fn put(into: &mut Value, path: &mut std::str::Split<'_, char>, value: Value, is_list: bool) {
    let (Value::Object(members), Some(name)) = (into, path.next()) else {
        return;
    };
    let is_last = path.clone().next().is_none();
    let known = members
        .iter_mut()
        .find(|(key, _)| key == name)
        .map(|(_, known)| known);
    match (known, is_last, is_list) {
        (Some(Value::Array(items)), true, true) => items.push(value),
        (_, true, true) => members.push((name.to_owned(), Value::Array(vec![value]))),
        (_, true, false) => members.push((name.to_owned(), value)),
        (Some(known @ Value::Object(_)), false, _) => put(known, path, value, is_list),
        (_, false, _) => {
            let mut inner = Value::empty_object();
            put(&mut inner, path, value, is_list);
            members.push((name.to_owned(), inner));
        }
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
    fn dotted_names_are_messages_within() {
        use serde_json::json;
        let message = |text: &str| {
            let query = Query::parse(Some(text)).unwrap();
            query.message(&["filter", "aggregation"], &["aggregation.groupByFields"])
        };
        assert_eq!(
            message(
                "aggregation.alignmentPeriod=60s&alt=json&aggregation.group_by_fields=a&view=1&aggregation.group_by_fields=b&filter=x"
            ),
            json!({"filter": "x", "aggregation": {"alignmentPeriod": "60s", "group_by_fields": ["a", "b"]}})
                .into()
        );
        assert_eq!(
            message("aggregation.groupByFields=a"),
            json!({"aggregation": {"groupByFields": ["a"]}}).into()
        );
        // Both stay, and whoever reads them says that there are two.
        let Value::Object(members) = message("filter=x&filter=y&aggregation=z&aggregation.a.b=c") else {
            panic!()
        };
        assert_eq!(members.len(), 4);
        assert_eq!(message("other.filter=x"), Value::empty_object());
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
