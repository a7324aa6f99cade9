//! Random queries over random entries: against another evaluator, and against entries of which parts are veiled.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value as Json;
use unicode_normalization::UnicodeNormalization as _;

use super::*;

#[derive(Debug, Clone)]
enum Tree {
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Not(Box<Tree>),
    /// Field, operator, text.
    Compare(&'static str, &'static str, &'static str),
    Present(&'static str),
    Null(&'static str),
    Anywhere(&'static str),
}

const ORDERED: &[&str] = &["=", "!=", "<", "<=", ">", ">="];
const ALL: &[&str] = &["=", "!=", "<", "<=", ">", ">=", ":", "=~", "!~"];
const PAYLOAD: &[&str] = &[
    "textPayload",
    "jsonPayload.a",
    "jsonPayload.b",
    "jsonPayload.a.b",
    "jsonPayload.\"x.y\"",
    "jsonPayload.b.a.b",
    "labels.k",
    "labels.\"a/b\"",
    "trace",
    "protoPayload.response.status.message",
    "protoPayload.response.status",
];
const TEXTS: &[&str] = &[
    "",
    "a",
    "A",
    "b",
    "ab",
    "8.5",
    "10",
    "9",
    "true",
    "FALSE",
    "null",
    "WARNING",
    "cafe",
    "caf\u{e9}",
    "cafe\u{301}",
    "\u{fb01}n",
    "fin",
    "a.b",
    "x",
    "a b",
    "2026-11-23",
];
const TIMES: &[&str] = &[
    "2026-11-23",
    "2026-11-23T08:00:00Z",
    "2026-11-23T09:00:00.5+0100",
    "2027-01-01",
];
const SPANS: &[&str] = &["0s", "1.5s", "1500ms", "-1s", "1h"];
const SEVERITIES: &[&str] = &["DEFAULT", "warning", "ERROR", "400", "450"];

const CALLS: &[&str] = &[
    "SEARCH(\"a\")",
    "SEARCH(\"a b\")",
    "SEARCH(\"`a b`\")",
    "SEARCH(jsonPayload, \"a\")",
    "SEARCH(jsonPayload.a, \"b\")",
    "NOT SEARCH(textPayload, \"cafe\")",
    "log_id(\"mylog\")",
    "source(projects/demo)",
    "sample(textPayload, 0.5)",
    "sample(jsonPayload.a, 0.5)",
    "NOT ip_in_net(jsonPayload.a, \"10.0.0.0/8\")",
    "cast(jsonPayload.a, INT64)>=9",
    "cast(jsonPayload.a, STRING):*",
    "NOT regexp_extract(jsonPayload.b, \"(a)\")=a",
    "jsonPayload.a:* \"x.y\"",
    "\"a\" AND NOT \"b\"",
];

fn leaf() -> impl Strategy<Value = Tree> {
    let compare = |fields: &'static [&'static str], operators, texts: &'static [&'static str]| {
        (select(fields), select::<&str>(operators), select(texts))
            .prop_map(|(field, operator, text)| Tree::Compare(field, operator, text))
    };
    prop_oneof![
        6 => compare(PAYLOAD, ALL, TEXTS),
        1 => compare(&["timestamp", "receiveTimestamp"], ORDERED, TIMES),
        1 => compare(&["httpRequest.latency"], ORDERED, SPANS),
        1 => compare(&["severity"], ORDERED, SEVERITIES),
        1 => compare(&["httpRequest.status"], ORDERED, &["0", "404", "10.5"]),
        1 => compare(&["traceSampled"], ORDERED, &["true", "False"]),
        1 => select(PAYLOAD).prop_map(Tree::Present),
        1 => select(PAYLOAD).prop_map(Tree::Null),
        2 => select(TEXTS).prop_map(Tree::Anywhere),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Tree::All),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Tree::Any),
            inner.prop_map(|part| Tree::Not(Box::new(part))),
        ]
    })
}

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        4 => select(TEXTS).prop_map(Json::from),
        1 => select(&[8.5, 9.0, 10.0][..]).prop_map(Json::from),
        1 => select(&[8, 9, 10][..]).prop_map(Json::from),
        1 => any::<bool>().prop_map(Json::from),
        1 => Just(Json::Null),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            prop::collection::btree_map(select(&["a", "b", "x.y"][..]), inner, 0..3).prop_map(|members| {
                members
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            }),
        ]
    })
}

fn an_entry() -> impl Strategy<Value = Entry<'static>> {
    let members =
        prop::collection::btree_map(select(&["a", "b", "x.y"][..]), value(), 0..4).prop_map(|members| {
            members
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<Json>()
        });
    let labels = prop::collection::btree_map(select(&["k", "a/b"][..]), select(TEXTS), 0..3);
    let payload = (0..4_u8, select(TEXTS), members);
    let known = (select(SEVERITIES), select(&["", "cafe"][..]), any::<bool>());
    (payload, labels, known).prop_map(|((kind, text, members), labels, (severity, trace, request))| {
        let mut json = json!({
            "logName": "projects/demo/logs/mylog",
            "insertId": "abc-1",
            "resource": {"type": "global"},
            "timestamp": "2026-11-23T08:00:00.5Z",
            "labels": labels,
            "trace": trace,
        });
        if severity.chars().all(char::is_uppercase) {
            json["severity"] = severity.into();
        }
        if request {
            json["httpRequest"] = json!({"status": 404, "latency": "1.5s"});
            json["traceSampled"] = true.into();
        }
        match kind {
            0 => json["textPayload"] = text.into(),
            1 => json["jsonPayload"] = members,
            2 => json["protoPayload"] = json!({"@type": "x", "response": {"status": text, "message": "a b"}}),
            _ => json["protoPayload"] = json!({"@type": "x", "response": {"status": {"message": text}}}),
        }
        entry(json)
    })
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}

fn written(tree: &Tree) -> String {
    let joined = |parts: &[Tree], sign: &str| {
        let parts: Vec<String> = parts.iter().map(written).collect();
        format!("({})", parts.join(sign))
    };
    match tree {
        Tree::All(parts) => joined(parts, " AND "),
        Tree::Any(parts) => joined(parts, " OR "),
        Tree::Not(part) => format!("NOT {}", written(part)),
        Tree::Compare(field, operator, text) => format!("{field} {operator} {}", quoted(text)),
        Tree::Present(field) => format!("{field}:*"),
        Tree::Null(field) => format!("{field}=NULL_VALUE"),
        Tree::Anywhere(text) => quoted(text),
    }
}

/// The other evaluator: plain recursion over JSON, which knows no tables and no veils.
fn naive(tree: &Tree, json: &Json) -> bool {
    match tree {
        Tree::All(parts) => parts.iter().all(|part| naive(part, json)),
        Tree::Any(parts) => parts.iter().any(|part| naive(part, json)),
        Tree::Not(part) => !naive(part, json),
        Tree::Compare(field, operator, text) => {
            let found = flat(at(field, json));
            let found = match (default(field), found.is_empty()) {
                (Some(default), true) => vec![default],
                _ => found,
            };
            found.iter().any(|value| relates(field, value, operator, text))
        }
        Tree::Present(field) => !at(field, json).is_empty(),
        Tree::Null(field) => flat(at(field, json)).contains(&Json::Null),
        Tree::Anywhere(text) => mentions("", json, text),
    }
}

fn default(field: &str) -> Option<Json> {
    match field {
        "trace" => Some("".into()),
        "severity" => Some("DEFAULT".into()),
        "httpRequest.status" => Some(0.into()),
        "httpRequest.latency" => Some("0s".into()),
        "traceSampled" => Some(false.into()),
        "receiveTimestamp" => Some("1970-01-01T00:00:00Z".into()),
        _ => None,
    }
}

fn at(field: &str, json: &Json) -> Vec<Json> {
    let names: Vec<&str> = match field.split_once('"') {
        Some((before, last)) => before
            .trim_end_matches('.')
            .split('.')
            .chain([last.trim_end_matches('"')])
            .collect(),
        None => field.split('.').collect(),
    };
    if field.ends_with("response.status.message") && json["protoPayload"]["response"]["status"].is_string() {
        return vec![json["protoPayload"]["response"]["message"].clone()];
    }
    names.iter().fold(vec![json.clone()], |values, name| {
        let members = flat(values)
            .into_iter()
            .filter_map(|value| value.get(name).cloned());
        members.collect()
    })
}

fn flat(values: Vec<Json>) -> Vec<Json> {
    values
        .into_iter()
        .flat_map(|value| match value {
            Json::Array(items) => flat(items),
            other => vec![other],
        })
        .collect()
}

fn folded(text: &str) -> String {
    text.nfkc().collect::<String>().to_lowercase()
}

fn relates(field: &str, value: &Json, operator: &str, text: &str) -> bool {
    let ordered = |ordering: Option<std::cmp::Ordering>| {
        use std::cmp::Ordering::{Equal, Greater, Less};
        match (operator, ordering) {
            ("=" | ":", found) => found == Some(Equal),
            ("!=", found) => found.is_some_and(|found| found != Equal),
            ("<", found) => found == Some(Less),
            ("<=", found) => matches!(found, Some(Less | Equal)),
            (">", found) => found == Some(Greater),
            (">=", found) => matches!(found, Some(Greater | Equal)),
            _ => false,
        }
    };
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    match (field, value) {
        ("severity", Json::String(name)) => ordered(level(name).partial_cmp(&level(text))),
        ("timestamp" | "receiveTimestamp", Json::String(given)) => {
            ordered(seconds(given).partial_cmp(&seconds(text)))
        }
        ("httpRequest.latency", Json::String(given)) => ordered(span(given).partial_cmp(&span(text))),
        (_, Json::String(given)) => {
            let matches = || regex::Regex::new(text).unwrap().is_match(given);
            match operator {
                ":" => folded(given).contains(&folded(text)),
                "=~" => matches(),
                "!~" => !matches(),
                _ => ordered(Some(folded(given).cmp(&folded(text)))),
            }
        }
        (_, Json::Number(given)) => {
            number(text).is_some_and(|number| ordered(given.as_f64().unwrap().partial_cmp(&number)))
        }
        (_, Json::Bool(given)) => match text.to_lowercase().parse::<bool>() {
            Ok(flag) => ordered(Some(given.cmp(&flag))),
            Err(_) => false,
        },
        _ => false,
    }
}

fn level(text: &str) -> f64 {
    match text.to_uppercase().as_str() {
        "DEFAULT" => 0.0,
        "WARNING" => 400.0,
        "ERROR" => 500.0,
        number => number.parse().unwrap(),
    }
}

fn seconds(text: &str) -> f64 {
    match text {
        "1970-01-01T00:00:00Z" => 0.0,
        "2026-11-23" => 1.0,
        "2026-11-23T08:00:00Z" => 2.0,
        "2026-11-23T09:00:00.5+0100" | "2026-11-23T08:00:00.5Z" | "2026-11-23T08:00:00.500Z" => 3.0,
        "2026-11-23T08:00:00.500000Z" => 3.0,
        "2027-01-01" => 4.0,
        other => panic!("{other}"),
    }
}

fn span(text: &str) -> f64 {
    match text {
        "-1s" => -1.0,
        "0s" => 0.0,
        "1.5s" | "1500ms" => 1.5,
        "1h" => 3600.0,
        other => panic!("{other}"),
    }
}

/// `path` says where we are: only keys of the writer's are searched.
fn mentions(path: &str, json: &Json, text: &str) -> bool {
    let data = [
        "/jsonPayload",
        "/labels",
        "/resource/labels",
        "/protoPayload/response",
    ]
    .iter()
    .any(|data| path.starts_with(data));
    match json {
        Json::Array(items) => items.iter().any(|item| mentions(path, item, text)),
        Json::Object(members) => members.iter().any(|(key, value)| {
            (data && folded(key).contains(&folded(text))) || mentions(&format!("{path}/{key}"), value, text)
        }),
        Json::String(given) if path == "/severity" => given.eq_ignore_ascii_case(text),
        // Instants and durations are not texts.
        Json::String(_) if ["/timestamp", "/receiveTimestamp", "/httpRequest/latency"].contains(&path) => {
            false
        }
        Json::String(given) => folded(given).contains(&folded(text)),
        Json::Number(given) => text
            .parse::<f64>()
            .is_ok_and(|number| given.as_f64() == Some(number)),
        _ => false,
    }
}

/// The node with some of its parts veiled, as the choices say, and nothing said of them that is not so.
fn veiled(node: &Node<'static>, choices: &mut impl Iterator<Item = u8>) -> Node<'static> {
    let choice = choices.next().unwrap_or(0);
    match node {
        _ if choice >= 250 => Veil::anything().into(),
        Node::Text(text) if choice >= 100 => {
            let plain = text.chars().all(|character| {
                character.is_ascii_alphanumeric() || ['.', '_', ':', '@', '-'].contains(&character)
            });
            let veil = if plain && choice >= 150 {
                Veil::plain_text()
            } else {
                Veil::text()
            };
            let characters: Vec<char> = text.chars().collect();
            let start = usize::from(choice) % (characters.len() + 1);
            let end = start + (characters.len() - start).min(usize::from(choice % 5));
            if choice < 120 {
                veil.into()
            } else {
                veil.containing(characters[start..end].iter().collect::<String>())
                    .into()
            }
        }
        Node::List(items) => Node::List(items.iter().map(|item| veiled(item, choices)).collect()),
        Node::Map(members) => {
            let mut shape: Vec<_> = members
                .iter()
                .map(|(key, node)| (key.clone(), veiled(node, choices)))
                .collect();
            // What may be there, and is not.
            if choice >= 200 && members.iter().all(|(key, _)| key != "a") {
                shape.push(("a".into(), Veil::anything().into()));
            }
            Node::Map(shape)
        }
        other => other.clone(),
    }
}

/// The entry with some of its parts veiled; it is an entry still.
fn shape(entry: &Entry<'static>, choices: &mut impl Iterator<Item = u8>) -> Entry<'static> {
    let Node::Map(members) = &entry.root else {
        panic!("{entry:?}");
    };
    let members = members
        .iter()
        .map(|(key, node)| (key.clone(), veiled(node, choices)));
    Entry::of(Node::Map(members.collect()), entry.time())
}

fn is_met(demand: &Demand<'_>, texts: &[String]) -> bool {
    match demand {
        Demand::Nothing => true,
        Demand::All(parts) => parts.iter().all(|part| is_met(part, texts)),
        Demand::Any(parts) => parts.iter().any(|part| is_met(part, texts)),
        Demand::Within(part) => texts.iter().any(|text| text.contains(part)),
        Demand::Is(whole) => texts.iter().any(|text| text == whole),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn another_evaluator_agrees(tree in tree(), entry in an_entry()) {
        let text = written(&tree);
        let json = entry.to_json();
        prop_assert_eq!(query(&text).test(&entry), naive(&tree, &json), "{} on {}", text, json);
    }

    #[test]
    fn a_veil_never_changes_an_answer(
        tree in tree(),
        entry in an_entry(),
        choices in prop::collection::vec(any::<u8>(), 40),
    ) {
        let text = written(&tree);
        let query = query(&text);
        let shape = shape(&entry, &mut choices.into_iter());
        let partly = query.test_partly(&shape);
        if partly != Truth::Unknown {
            prop_assert_eq!(partly == Truth::True, query.test(&entry), "{} on {:?}", text, shape);
        }
    }

    #[test]
    fn nor_the_answer_of_a_function(
        text in select(CALLS),
        entry in an_entry(),
        choices in prop::collection::vec(any::<u8>(), 40),
    ) {
        let query = query(text);
        let shape = shape(&entry, &mut choices.into_iter());
        let partly = query.test_partly(&shape);
        if partly != Truth::Unknown {
            prop_assert_eq!(partly == Truth::True, query.test(&entry), "{} on {:?}", text, shape);
        }
    }

    #[test]
    fn times_and_demand_leave_nothing_out(tree in tree(), entry in an_entry()) {
        let text = written(&tree);
        let query = query(&text);
        if query.test(&entry) {
            let bounds = query.times();
            prop_assert!(bounds.from <= entry.time() && entry.time() <= bounds.until, "{}", text);
            let mut texts = Vec::new();
            entry.texts(&mut |text| texts.push(fold(text).into_owned()));
            let demand = query.demand();
            prop_assert!(is_met(&demand, &texts), "{} wants {:?} with {:?}", text, demand, texts);
        }
    }

    #[test]
    fn entries_survive_their_json(entry in an_entry()) {
        prop_assert_eq!(super::entry(entry.to_json()), entry);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,200}") {
        let _ = Query::parse(&text);
        let _ = Extractor::parse(&text);
    }

    #[test]
    fn no_text_of_query_signs_makes_the_reader_panic(
        text in "(timestamp|severity|labels|jsonPayload|SEARCH|cast|sample|AND|OR|NOT|x|1|[ ()=!<>:~,\"'\\\\.`-]|\n){0,40}"
    ) {
        if let Ok(query) = Query::parse(&text) {
            let _ = query.test(&e5());
        }
    }
}
