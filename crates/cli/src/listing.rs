//! The flags that every list has, as gcloud has them: which entries, in what order, how many, and shown how.

use std::{cmp::Ordering, str::FromStr};

use binauthz_wire::{
    filter::{Expression, Operator, Term},
    json::timestamp_from,
};
use clap::Args;
use serde_json::Value;

use crate::{
    client::{Client, Wanted},
    failure::{Exit, Failure},
    output,
    settings::Settings,
};

/// Which entries of a list, and how.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "List flags")]
pub struct ListFlags {
    /// At most so many entries (all by default)
    #[arg(long, value_name = "N", value_parser = limit)]
    limit: Option<usize>,
    /// Only entries for which it holds, e.g. `name:prod AND createTime > "2026-01-01T00:00:00Z"`
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<Filter>,
    /// Entries asked for at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    page_size: Option<u16>,
    /// Fields to sort by; `~FIELD` sorts downwards
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    sort_by: Vec<String>,
    /// Print the addresses of the entries and nothing else
    #[arg(long)]
    uri: bool,
}

/// `--limit` takes gcloud's word for none, too.
pub(crate) fn limit(text: &str) -> Result<usize, &'static str> {
    match text {
        "unlimited" => Ok(usize::MAX),
        _ => text
            .parse()
            .ok()
            .filter(|limit| *limit > 0)
            .ok_or("expected a number from 1, or unlimited"),
    }
}

/// A list of the API.
#[derive(Debug)]
pub(crate) struct List<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(&'a str, &'a str)],
    /// The field of the answer that holds the entries.
    pub(crate) field: &'a str,
    /// The columns shown when `--format` names none.
    pub(crate) columns: &'a str,
}

impl ListFlags {
    /// Fetches and shows.
    pub(crate) async fn show(&self, list: &List<'_>, settings: &Settings) -> Result<Exit, Failure> {
        let client = settings.client()?;
        let entries = self.fetch(list, &client).await?;
        if self.uri {
            let lines = entries.iter().map(|entry| uri(entry, &client) + "\n");
            output::print(&lines.collect::<String>())?;
        } else {
            output::show_list(settings.format.as_ref(), &entries, list.columns)?;
        }
        Ok(Exit::Done)
    }

    async fn fetch(&self, list: &List<'_>, client: &Client) -> Result<Vec<Value>, Failure> {
        let limit = self.limit.unwrap_or(usize::MAX);
        let wanted = Wanted {
            // What comes first is known when everything is sorted.
            limit: if self.sort_by.is_empty() {
                limit
            } else {
                usize::MAX
            },
            page_size: self.page_size.map(usize::from),
            keep: &|entry| self.filter.as_ref().is_none_or(|filter| filter.matches(entry)),
        };
        let mut entries = client
            .list_wanted(list.path, list.query, list.field, &wanted)
            .await?;
        if !self.sort_by.is_empty() {
            entries.sort_by(|left, right| compare(&self.sort_by, left, right));
            entries.truncate(limit);
        }
        Ok(entries)
    }
}

/// The address of a resource: its link, or the one its name stands for on this server.
fn uri(entry: &Value, client: &Client) -> String {
    let text = |field: &str| entry.get(field).and_then(Value::as_str);
    let named = || Some(format!("{}/v1/{}", client.server(), text("name")?));
    output::plain(
        &text("selfLink")
            .map(str::to_owned)
            .or_else(named)
            .unwrap_or_default(),
    )
}

fn compare(fields: &[String], left: &Value, right: &Value) -> Ordering {
    let by_field = |field: &String| {
        let (path, down) = match field.strip_prefix('~') {
            Some(path) => (path, true),
            None => (field.as_str(), false),
        };
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        let first = |entry| texts(entry, &path).into_iter().next().unwrap_or_default();
        let order = relate(&first(left), &first(right));
        if down { order.reverse() } else { order }
    };
    let unequal = |order: &Ordering| order.is_ne();
    fields
        .iter()
        .map(by_field)
        .find(unequal)
        .unwrap_or(Ordering::Equal)
}

/// Instants and numbers by their value, everything else as text.
fn relate(left: &str, right: &str) -> Ordering {
    if let (Some(left), Some(right)) = (timestamp_from(left), timestamp_from(right)) {
        return left.cmp(&right);
    }
    if let (Ok(left), Ok(right)) = (left.parse::<f64>(), right.parse::<f64>()) {
        return left.total_cmp(&right);
    }
    left.cmp(right)
}

/// The values of a field, in either spelling of its name; a list on the way stands for each of its items.
fn texts(entry: &Value, path: &[String]) -> Vec<String> {
    match (entry, path) {
        (Value::Array(items), _) => items.iter().flat_map(|item| texts(item, path)).collect(),
        (Value::Object(fields), [first, rest @ ..]) => {
            let plain = |name: &str| name.replace('_', "").to_lowercase();
            let found = fields
                .get(first)
                .or_else(|| Some(fields.iter().find(|(name, _)| plain(name) == plain(first))?.1));
            found.map_or_else(Vec::new, |value| texts(value, rest))
        }
        (Value::String(text), []) => vec![text.clone()],
        (Value::Null, _) | (_, [_, ..]) => Vec::new(),
        (other, []) => vec![other.to_string()],
    }
}

/// A filter that is judged here, over the fields as they are shown.
#[derive(Debug, Clone)]
struct Filter(Expression);

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Filter, String> {
        let expression = Expression::parse(text).map_err(|error| error.to_string())?;
        check(&expression)?;
        Ok(Filter(expression))
    }
}

/// Every term is of a kind that is judged: an unknown one must not pass for "no".
fn check(expression: &Expression) -> Result<(), String> {
    match expression {
        Expression::Everything => Ok(()),
        Expression::All(parts) | Expression::Any(parts) => parts.iter().try_for_each(check),
        Expression::Not(part) => check(part),
        Expression::Term(_, Term::Comparison { operator, .. }) => match operator {
            Operator::Matches | Operator::NotMatches => {
                Err("regular expressions are not supported: use `:`, which finds a part of a text".to_owned())
            }
            _ => Ok(()),
        },
        Expression::Term(_, Term::Call { name, arguments }) => match (name.as_str(), arguments.len()) {
            ("has_prefix" | "has_suffix", 2) => Ok(()),
            _ => Err(format!(
                "`{name}`: expected has_prefix(FIELD, \"TEXT\") or has_suffix(FIELD, \"TEXT\")"
            )),
        },
        Expression::Term(_, Term::Bare(word)) => {
            Err(format!("`{word}`: expected a comparison, such as `name:{word}`"))
        }
    }
}

impl Filter {
    fn matches(&self, entry: &Value) -> bool {
        holds(&self.0, entry)
    }
}

fn holds(expression: &Expression, entry: &Value) -> bool {
    match expression {
        Expression::Everything => true,
        Expression::All(parts) => parts.iter().all(|part| holds(part, entry)),
        Expression::Any(parts) => parts.iter().any(|part| holds(part, entry)),
        Expression::Not(part) => !holds(part, entry),
        Expression::Term(
            _,
            Term::Comparison {
                path,
                operator,
                value,
            },
        ) => {
            let found = texts(entry, path);
            match operator {
                // "No value is equal", not "some value is unequal".
                Operator::NotEqual => !found.iter().any(|text| relate(text, value).is_eq()),
                _ => found.iter().any(|text| comparison(text, *operator, value)),
            }
        }
        Expression::Term(_, Term::Call { name, arguments }) => {
            let [(_, path), (_, text)] = arguments.as_slice() else {
                return false;
            };
            let text = text.join(".");
            texts(entry, path).iter().any(|found| match name.as_str() {
                "has_prefix" => found.starts_with(&text),
                "has_suffix" => found.ends_with(&text),
                _ => false,
            })
        }
        Expression::Term(_, Term::Bare(_)) => false,
    }
}

fn comparison(found: &str, operator: Operator, value: &str) -> bool {
    match operator {
        Operator::Has if value == "*" => !found.is_empty(),
        Operator::Has => found.to_lowercase().contains(&value.to_lowercase()),
        Operator::Equal => relate(found, value).is_eq(),
        Operator::NotEqual => relate(found, value).is_ne(),
        Operator::Less => relate(found, value).is_lt(),
        Operator::LessOrEqual => relate(found, value).is_le(),
        Operator::Greater => relate(found, value).is_gt(),
        Operator::GreaterOrEqual => relate(found, value).is_ge(),
        Operator::Matches | Operator::NotMatches => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry() -> Value {
        json!({"name": "projects/p/occurrences/o1", "createTime": "2026-11-23T08:00:00.5Z", "size": 10, "on": true,
               "attestation": {"signatures": [{"publicKeyId": "//a"}, {"publicKeyId": "//b"}]}})
    }

    #[test]
    fn filters_find_what_they_say() {
        let table = [
            ("name:OCCURRENCES", true),
            ("name:other", false),
            ("name=projects/p/occurrences/o1", true),
            ("name!=projects/p/occurrences/o1", false),
            ("createTime > \"2026-11-23T09:00:00+02:00\"", true),
            ("create_time < \"2026-11-23T08:00:00Z\"", false),
            ("size > 9", true),
            ("size >= 10 AND on = true", true),
            ("size < 9 OR name:o1", true),
            ("NOT name:o1", false),
            ("attestation.signatures.publicKeyId = \"//b\"", true),
            ("attestation.signatures.publicKeyId != \"//b\"", false),
            ("attestation.signatures.publicKeyId = \"//c\"", false),
            ("missing:*", false),
            ("name:*", true),
            ("has_suffix(name, \"o1\")", true),
            ("has_prefix(name, \"o1\")", false),
            ("", true),
        ];
        for (text, expected) in table {
            let filter: Filter = text.parse().expect(text);
            assert_eq!(filter.matches(&entry()), expected, "{text}");
        }
    }

    #[test]
    fn a_filter_that_is_not_understood_is_refused() {
        for text in [
            "name",
            "name =~ x",
            "has(name, x)",
            "has_suffix(name)",
            "(",
            "name:",
        ] {
            assert!(text.parse::<Filter>().is_err(), "{text}");
        }
    }

    #[test]
    fn sorting_is_by_value_and_by_several_fields() {
        let mut entries = [
            json!({"n": 10, "t": "b"}),
            json!({"n": 9, "t": "b"}),
            json!({"n": 100, "t": "a"}),
        ];
        let sorted = |entries: &mut [Value], fields: &[&str]| -> Vec<i64> {
            let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
            entries.sort_by(|left, right| compare(&fields, left, right));
            entries.iter().filter_map(|entry| entry["n"].as_i64()).collect()
        };
        assert_eq!(sorted(&mut entries, &["n"]), [9, 10, 100]);
        assert_eq!(sorted(&mut entries, &["~n"]), [100, 10, 9]);
        assert_eq!(sorted(&mut entries, &["t", "~n"]), [100, 10, 9]);
        assert_eq!(sorted(&mut entries, &["~t", "n"]), [9, 10, 100]);
    }

    #[test]
    fn a_limit_is_a_number_or_none_at_all() {
        assert_eq!(limit("5"), Ok(5));
        assert_eq!(limit("unlimited"), Ok(usize::MAX));
        assert!(limit("0").is_err() && limit("-1").is_err() && limit("all").is_err());
    }
}
