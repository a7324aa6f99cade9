//! Results on the terminal: `--format` as in gcloud, and nothing that could move the cursor.

mod columns;
mod escape;
mod table;

pub(crate) use table::align;

use std::{
    io::{self, Write},
    str::FromStr,
};

use serde_json::Value;

use crate::{failure::Failure, yaml};

pub(crate) use columns::{Columns, InvalidFormat};
pub(crate) use escape::plain;

/// What `--format` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Pretty-printed JSON, keys sorted.
    Json,
    /// YAML, keys sorted.
    Yaml,
    /// Aligned columns with a heading.
    Table(Columns),
    /// The default columns of the command, aligned, with a heading.
    DefaultTable,
    /// Tab-separated fields without a heading, for scripts.
    Value(Columns),
    /// Comma-separated fields with a heading.
    Csv(Columns),
    /// The default columns of the command as a Markdown table.
    Markdown,
    /// Nothing.
    None,
}

impl FromStr for Format {
    type Err = InvalidFormat;

    fn from_str(text: &str) -> Result<Format, InvalidFormat> {
        match text.trim() {
            "json" => Ok(Format::Json),
            "yaml" => Ok(Format::Yaml),
            "table" => Ok(Format::DefaultTable),
            "markdown" => Ok(Format::Markdown),
            "none" | "disable" => Ok(Format::None),
            projection => {
                let (name, columns) = columns::parse_projection(projection)?;
                match name {
                    "table" => Ok(Format::Table(columns)),
                    "value" | "get" => Ok(Format::Value(columns)),
                    "csv" => Ok(Format::Csv(columns)),
                    _ => Err(InvalidFormat::UnknownFormat {
                        name: name.to_owned(),
                    }),
                }
            }
        }
    }
}

/// A list as text; `default` are the columns shown when `format` names none.
pub(crate) fn render_list(format: Option<&Format>, entries: &[Value], default: &str) -> String {
    match format {
        Some(Format::Json) => json(&Value::Array(entries.to_vec())),
        // As gcloud: one document for each entry.
        Some(Format::Yaml) => entries
            .iter()
            .map(|entry| format!("---\n{}", yaml::write(entry)))
            .collect(),
        Some(Format::Table(columns)) => table::table(columns, entries),
        Some(Format::Value(columns)) => table::values(columns, entries),
        Some(Format::Csv(columns)) => table::csv(columns, entries),
        Some(Format::Markdown) => table::markdown(&Columns::fixed(default), entries),
        Some(Format::None) => String::new(),
        Some(Format::DefaultTable) | None => table::table(&Columns::fixed(default), entries),
    }
}

/// One resource as text; YAML when `format` names nothing else.
pub(crate) fn render_one(format: Option<&Format>, resource: &Value) -> String {
    let entries = std::slice::from_ref(resource);
    match format {
        Some(Format::Json) => json(resource),
        Some(Format::Table(columns)) => table::table(columns, entries),
        Some(Format::Value(columns)) => table::single_value(columns, resource),
        Some(Format::Csv(columns)) => table::csv(columns, entries),
        Some(Format::None) => String::new(),
        Some(Format::Yaml | Format::DefaultTable | Format::Markdown) | None => yaml::write(resource),
    }
}

/// Prints a list as `--format` asks. An empty one is said on standard error, so that scripts read nothing.
pub(crate) fn show_list(format: Option<&Format>, entries: &[Value], default: &str) -> Result<(), Failure> {
    print(&render_list(format, entries, default))?;
    if entries.is_empty() && !matches!(format, Some(Format::Json | Format::None)) {
        note("Listed 0 items.");
    }
    Ok(())
}

/// Prints one resource as `--format` asks.
pub(crate) fn show_one(format: Option<&Format>, resource: &Value) -> Result<(), Failure> {
    print(&render_one(format, resource))
}

/// Says what was done on standard error; the resource itself is printed only when `--format` asks for it.
pub(crate) fn show_done(format: Option<&Format>, resource: &Value, line: &str) -> Result<(), Failure> {
    note(line);
    match format {
        Some(_) => show_one(format, resource),
        None => Ok(()),
    }
}

/// Pretty JSON whose strings keep no character that a terminal acts on.
fn json(value: &Value) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut out = escape::json_safe(&text);
    out.push('\n');
    out
}

/// One line of JSON whose strings keep no character that a terminal acts on.
pub(crate) fn json_line(value: &Value) -> String {
    escape::json_safe(&value.to_string()) + "\n"
}

/// Writes to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// Writes bytes to standard output exactly as they are: for payloads, keys and files.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    write(&mut io::stdout().lock(), bytes)
}

/// One line on standard error: what was done, for the person and not for the script.
pub(crate) fn note(line: &str) {
    // Nobody is left to tell when the terminal itself is gone.
    let _gone = write(&mut io::stderr().lock(), format!("{}\n", plain(line)).as_bytes());
}

/// A closed pipe (`| head`) is a quiet end: its reader has what it wanted. Anything else would leave half an answer that
/// a script takes for a whole one.
fn write(stream: &mut dyn Write, bytes: &[u8]) -> Result<(), Failure> {
    match stream.write_all(bytes).and_then(|()| stream.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::usage(format_args!(
            "could not write the answer: {error}"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_a_closed_pipe_is_a_quiet_end() {
        assert!(write(&mut Broken(io::ErrorKind::BrokenPipe), b"x").is_ok());
        for kind in [
            io::ErrorKind::StorageFull,
            io::ErrorKind::Other,
            io::ErrorKind::PermissionDenied,
        ] {
            let failure = write(&mut Broken(kind), b"x").expect_err("not written");
            assert_eq!(failure.exit(), crate::Exit::Error, "{kind}");
        }
    }

    fn format(text: &str) -> Format {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn lists_and_resources_in_every_format() {
        let a = json!({"name": "projects/p/attestors/a", "createTime": "T1", "note": {"keys": [{"id": "x"}, {"id": "y"}]}});
        let b = json!({"name": "projects/p/attestors/b", "note": {"keys": []}});
        let entries = [a.clone(), b];
        let table = [
            (
                "table(name, createTime)",
                "NAME                    CREATE_TIME\nprojects/p/attestors/a  T1\nprojects/p/attestors/b\n",
            ),
            (
                "table(name.basename():label=ID, note.keys.len():label=KEYS)",
                "ID  KEYS\na   2\nb   0\n",
            ),
            ("table[no-heading](name.segment(3))", "a\nb\n"),
            ("value(name.basename(),createTime)", "a\tT1\nb\t\n"),
            ("value(note.keys[].id)", "x;y\n\n"),
            ("value(note.keys[0].id)", "x\n\n"),
            ("value(create_time)", "T1\n\n"),
            ("csv(name.basename(),createTime)", "name,create_time\na,T1\nb,\n"),
            ("get(missing.deep)", "\n\n"),
            ("none", ""),
            ("table", "ID\na\nb\n"),
        ];
        for (wanted, expected) in table {
            let text = render_list(Some(&format(wanted)), &entries, "name.basename():label=ID");
            assert_eq!(text, expected, "{wanted}");
        }
        assert_eq!(
            render_one(Some(&format("value(name)")), &a),
            "projects/p/attestors/a\n"
        );
        assert_eq!(render_list(None, &[], "name"), "");
    }

    #[test]
    fn json_and_yaml_are_sorted() {
        let value = json!({"b": 1, "a": ["x"]});
        assert_eq!(
            render_one(Some(&Format::Json), &value),
            "{\n  \"a\": [\n    \"x\"\n  ],\n  \"b\": 1\n}\n"
        );
        assert_eq!(render_one(None, &value), "a:\n- x\nb: 1\n");
        assert_eq!(
            render_list(Some(&Format::Yaml), &[json!({"a": 1}), json!({"a": 2})], "a"),
            "---\na: 1\n---\na: 2\n"
        );
    }

    #[test]
    fn wrong_formats_say_what_was_expected() {
        for wrong in [
            "tabel(name)",
            "table(name",
            "table()",
            "value(a..b)",
            "xml",
            "value",
            "value(a.shout())",
            "table(a[x])",
            "",
        ] {
            let error = wrong.parse::<Format>().expect_err(wrong).to_string();
            assert!(error.contains("expected"), "{wrong}: {error}");
        }
    }

    #[test]
    fn nothing_printed_can_move_the_cursor() {
        let hostile = json!({"name": "a\u{1b}[2Jb\r\u{9b}31m\u{202e}\u{7f}\nNAME"});
        let formats = [
            "json",
            "yaml",
            "table(name)",
            "value(name)",
            "csv(name)",
            "value(name,other)",
        ];
        for wanted in formats {
            for text in [
                render_one(Some(&format(wanted)), &hostile),
                render_list(Some(&format(wanted)), std::slice::from_ref(&hostile), "name"),
            ] {
                let bad = text
                    .chars()
                    .find(|c| escape::is_hostile(*c) && !matches!(c, '\n' | '\t'));
                assert_eq!(bad, None, "{wanted}: {text:?}");
            }
        }
        // A row of a list is one line, whatever the field holds.
        assert_eq!(
            render_list(Some(&format("value(name)")), &[json!({"name": "a\nb"})], "name"),
            "a\\nb\n"
        );
        // A single field of a single resource keeps its line ends, so that `value(pem)` is a PEM file.
        assert_eq!(
            render_one(Some(&format("value(pem)")), &json!({"pem": "a\nb\n"})),
            "a\nb\n"
        );
    }
}
