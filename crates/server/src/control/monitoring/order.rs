//! `orderBy`: `display_name, type desc`, or `-type`.

use std::cmp::Ordering;

use binauthz_wire::json::InvalidField;

/// How a list is sorted: by some fields, then by the name, so that no two items are equal.
#[derive(Debug)]
pub(super) struct Order(Vec<(&'static str, bool)>);

impl Order {
    /// Reads an order over the given fields, in either spelling, each with `asc`, `desc` or neither.
    pub(super) fn parse(text: &str, fields: &[&'static str]) -> Result<Order, InvalidField> {
        let mut order = Vec::new();
        for part in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
            // `gcloud` writes `-` in front where the API's own form has `desc` behind.
            let (part, turns) = part.strip_prefix('-').map_or((part, false), |part| (part, true));
            let (given, direction) = part.split_once(' ').unwrap_or((part, "asc"));
            let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
            let field = fields.iter().find(|field| plain(field) == plain(given));
            let descends = match direction.trim() {
                "asc" => Some(turns),
                "desc" if !turns => Some(true),
                _ => None,
            };
            let (Some(field), Some(descends)) = (field, descends) else {
                let why = format!(
                    "`{}` is no order, expected one of `{}`, with `desc` after it to turn it around",
                    part.chars()
                        .take(60)
                        .flat_map(char::escape_debug)
                        .collect::<String>(),
                    fields.join("`, `")
                );
                return Err(InvalidField::refused("orderBy", why));
            };
            order.push((*field, descends));
        }
        order.push(("name", false));
        Ok(Order(order))
    }

    /// What an item is sorted by.
    pub(super) fn keys(&self, value: &dyn Fn(&str) -> String) -> Vec<String> {
        self.0.iter().map(|(field, _)| value(field)).collect()
    }

    /// Which of two items comes first, by their keys.
    pub(super) fn compare(&self, one: &[String], other: &[String]) -> Ordering {
        let each = self.0.iter().zip(one.iter().zip(other));
        each.map(|((_, descends), (one, other))| {
            let ordering = one.cmp(other);
            if *descends { ordering.reverse() } else { ordering }
        })
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
    }
}

/// The keys of the last item of a page as a page token holds them.
pub(super) fn to_token(keys: &[String]) -> String {
    serde_json::json!(keys).to_string()
}

/// The keys a page token holds.
pub(super) fn from_token(text: &str) -> Result<Vec<String>, InvalidField> {
    serde_json::from_str(text).map_err(|_| InvalidField::refused("pageToken", "is not a token of this list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[&str] = &["name", "displayName"];

    #[test]
    fn items_are_sorted_by_fields_and_then_by_name() {
        let items = [("1", "b"), ("2", "a"), ("3", "b")];
        let sorted = |text: &str| -> String {
            let order = Order::parse(text, FIELDS).unwrap();
            let mut keys: Vec<Vec<String>> = items
                .iter()
                .map(|(name, shown)| {
                    order.keys(&|field| (if field == "name" { *name } else { *shown }).to_owned())
                })
                .collect();
            keys.sort_by(|one, other| order.compare(one, other));
            keys.iter().filter_map(|keys| keys.last().cloned()).collect()
        };
        for (text, expected) in [
            ("", "123"),
            ("name desc", "321"),
            ("display_name", "213"),
            ("displayName desc", "132"),
            ("display_name desc, name desc", "312"),
            ("display_name  asc", "213"),
            ("-display_name", "132"),
            ("-display_name,-name", "312"),
        ] {
            assert_eq!(sorted(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_order_is_refused() {
        for text in [
            "frob",
            "name up",
            "name,",
            ",",
            "name desc desc",
            "-name desc",
            "--name",
            "-",
            "displayName;",
        ] {
            let error = Order::parse(text, FIELDS).unwrap_err().to_string();
            assert!(error.starts_with("`orderBy`: `"), "{error}");
        }
        assert!(from_token("x").is_err());
        let keys = vec!["a".to_owned(), "ü\"".to_owned()];
        assert_eq!(from_token(&to_token(&keys)).unwrap(), keys);
    }
}
