//! Rows: aligned, tab-separated, comma-separated.

use serde_json::Value;

use super::{
    columns::Columns,
    escape::{plain, plain_lines},
};

/// Aligned columns, two spaces between them.
pub(super) fn table(columns: &Columns, entries: &[Value]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let cells = |entry: &Value| -> Vec<String> {
        columns
            .columns
            .iter()
            .map(|column| plain(&column.text(entry, ",")))
            .collect()
    };
    let heading = columns
        .heading
        .then(|| columns.columns.iter().map(|column| column.heading()).collect());
    let rows: Vec<Vec<String>> = heading.into_iter().chain(entries.iter().map(cells)).collect();
    align(&rows)
}

/// Pads every cell but the last of a row to the width of its column.
pub(crate) fn align(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |index: usize| {
        rows.iter()
            .filter_map(|row| row.get(index))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..count).map(|index| width(index).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// Tab-separated, no heading.
pub(super) fn values(columns: &Columns, entries: &[Value]) -> String {
    let row = |entry: &Value| {
        let cells = columns
            .columns
            .iter()
            .map(|column| plain(&column.text(entry, ";")));
        cells.collect::<Vec<_>>().join("\t") + "\n"
    };
    entries.iter().map(row).collect()
}

/// The fields of one resource; a single field keeps its line ends, so that a PEM key stays one.
pub(super) fn single_value(columns: &Columns, resource: &Value) -> String {
    match columns.columns.as_slice() {
        [column] => {
            let text = plain_lines(&column.text(resource, ";"));
            if text.ends_with('\n') { text } else { text + "\n" }
        }
        _ => values(columns, std::slice::from_ref(resource)),
    }
}

/// A table of Markdown. What a cell holds stays text, whoever wrote it.
pub(super) fn markdown(columns: &Columns, entries: &[Value]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let cell = |text: String| {
        let mut cell = String::with_capacity(text.len());
        for character in plain(&text).chars() {
            if "\\`*_[]<>|~&!#".contains(character) {
                cell.push('\\');
            }
            cell.push(character);
        }
        cell
    };
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut out = row(columns.columns.iter().map(|column| column.heading()).collect());
    out.push_str(&format!("|{}\n", "---|".repeat(columns.columns.len())));
    for entry in entries {
        let cells = columns
            .columns
            .iter()
            .map(|column| cell(column.text(entry, ", ")));
        out.push_str(&row(cells.collect()));
    }
    out
}

/// Comma-separated with a heading; quoted where needed.
pub(super) fn csv(columns: &Columns, entries: &[Value]) -> String {
    let quote = |text: String| match text.contains([',', '"']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    };
    let heading = columns
        .columns
        .iter()
        .map(|column| quote(column.key()))
        .collect::<Vec<_>>();
    let row = |entry: &Value| -> Vec<String> {
        columns
            .columns
            .iter()
            .map(|column| quote(plain(&column.text(entry, ";"))))
            .collect()
    };
    let heading = columns.heading.then_some(heading);
    heading
        .into_iter()
        .chain(entries.iter().map(row))
        .map(|cells| cells.join(",") + "\n")
        .collect()
}
