//! List filters of Container Analysis: comparisons and `has_suffix`/`has_prefix`, joined by `AND`, `OR`, `NOT` and
//! parentheses. `NOT` binds tightest, then `OR`, then `AND` (AIP-160).

use crate::json::InvalidField;

/// The longest filter, as Google's.
const MAX_FILTER: usize = 20_000;
/// Nesting of parentheses and `NOT`s.
const MAX_DEPTH: usize = 32;

/// A filter that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// The empty filter: everything.
    Everything,
    /// All of these.
    All(Vec<Filter>),
    /// One of these at least.
    Any(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// `field = "text"`.
    Equal(String, String),
    /// `has_suffix(field, "text")`.
    Suffix(String, String),
    /// `has_prefix(field, "text")`.
    Prefix(String, String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Symbol(char),
    NotEqual,
}

impl Filter {
    /// Reads a filter over the given fields; the error names the column.
    pub fn parse(text: &str, fields: &[&str]) -> Result<Filter, InvalidField> {
        if text.len() > MAX_FILTER {
            return Err(refused(0, format!("the filter is longer than {MAX_FILTER} characters")));
        }
        let tokens = tokens(text)?;
        if tokens.is_empty() {
            return Ok(Filter::Everything);
        }
        let mut parser = Parser { tokens: &tokens, position: 0, end: text.len(), fields };
        let filter = parser.all(MAX_DEPTH)?;
        match parser.tokens.get(parser.position) {
            None => Ok(filter),
            Some((column, _)) => Err(refused(*column, "unexpected text")),
        }
    }

    /// Whether an item is wanted; `field` gives the values of its fields.
    pub fn matches(&self, field: &dyn Fn(&str) -> String) -> bool {
        match self {
            Filter::Everything => true,
            Filter::All(parts) => parts.iter().all(|part| part.matches(field)),
            Filter::Any(parts) => parts.iter().any(|part| part.matches(field)),
            Filter::Not(part) => !part.matches(field),
            Filter::Equal(name, text) => field(name) == *text,
            Filter::Suffix(name, text) => field(name).ends_with(text.as_str()),
            Filter::Prefix(name, text) => field(name).starts_with(text.as_str()),
        }
    }

    /// A text that `name` must end in for anything to match, if the filter says so at its top level.
    pub fn required_suffix(&self, name: &str) -> Option<&str> {
        match self {
            Filter::Suffix(field, text) | Filter::Equal(field, text) if field == name => Some(text),
            Filter::All(parts) => parts.iter().find_map(|part| part.required_suffix(name)),
            _ => None,
        }
    }
}

fn refused(column: usize, why: impl std::fmt::Display) -> InvalidField {
    InvalidField::refused("filter", format_args!("column {}: {why}", column + 1))
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, InvalidField> {
    let mut tokens = Vec::new();
    let mut characters = text.char_indices().peekable();
    while let Some((column, character)) = characters.next() {
        match character {
            ' ' | '\t' | '\n' | '\r' => {}
            '(' | ')' | ',' | '=' | '-' => tokens.push((column, Token::Symbol(character))),
            '!' if characters.next_if(|(_, next)| *next == '=').is_some() => tokens.push((column, Token::NotEqual)),
            '"' => {
                let mut quoted = String::new();
                loop {
                    match characters.next() {
                        Some((_, '"')) => break,
                        Some((_, '\\')) => quoted.extend(characters.next().map(|(_, escaped)| escaped)),
                        Some((_, other)) => quoted.push(other),
                        None => return Err(refused(column, "the quoted text does not end")),
                    }
                }
                tokens.push((column, Token::Text(quoted)));
            }
            first if first.is_alphanumeric() || first == '_' => {
                let mut word = String::from(first);
                let part = |next: char| next.is_alphanumeric() || "_./:-".contains(next);
                while let Some((_, next)) = characters.next_if(|(_, next)| part(*next)) {
                    word.push(next);
                }
                tokens.push((column, Token::Word(word)));
            }
            other => return Err(refused(column, format!("unexpected `{}`", other.escape_debug()))),
        }
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: &'a [(usize, Token)],
    position: usize,
    end: usize,
    fields: &'a [&'a str],
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position).map(|(_, token)| token)
    }

    fn column(&self) -> usize {
        self.tokens.get(self.position).map_or(self.end, |(column, _)| *column)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found == word)
    }

    fn all(&mut self, depth: usize) -> Result<Filter, InvalidField> {
        let mut parts = vec![self.any(depth)?];
        loop {
            if self.is_word("AND") {
                self.position += 1;
            } else if self.peek().is_none() || self.peek() == Some(&Token::Symbol(')')) {
                break;
            }
            parts.push(self.any(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::All(parts) })
    }

    fn any(&mut self, depth: usize) -> Result<Filter, InvalidField> {
        let mut parts = vec![self.one(depth)?];
        while self.is_word("OR") {
            self.position += 1;
            parts.push(self.one(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::Any(parts) })
    }

    fn one(&mut self, depth: usize) -> Result<Filter, InvalidField> {
        let column = self.column();
        let depth = depth.checked_sub(1).ok_or_else(|| refused(column, "nested too deeply"))?;
        if self.is_word("NOT") || self.peek() == Some(&Token::Symbol('-')) {
            self.position += 1;
            return Ok(Filter::Not(Box::new(self.one(depth)?)));
        }
        if self.peek() == Some(&Token::Symbol('(')) {
            self.position += 1;
            let inner = self.all(depth)?;
            self.symbol(')')?;
            return Ok(inner);
        }
        let word = self.word()?;
        if self.peek() != Some(&Token::Symbol('(')) {
            let field = self.known(&word, column)?;
            let negated = match self.peek() {
                Some(Token::Symbol('=')) => false,
                Some(Token::NotEqual) => true,
                _ => return Err(refused(self.column(), "expected `=` or `!=`")),
            };
            self.position += 1;
            let equal = Filter::Equal(field, self.value()?);
            return Ok(if negated { Filter::Not(Box::new(equal)) } else { equal });
        }
        self.position += 1;
        let field_column = self.column();
        let field = self.word()?;
        let field = self.known(&field, field_column)?;
        self.symbol(',')?;
        let text = self.value()?;
        self.symbol(')')?;
        match word.as_str() {
            "has_suffix" => Ok(Filter::Suffix(field, text)),
            "has_prefix" => Ok(Filter::Prefix(field, text)),
            _ => Err(refused(column, "expected `has_suffix` or `has_prefix`")),
        }
    }

    /// `resourceUrl` is what filters call `resourceUri`.
    fn known(&self, word: &str, column: usize) -> Result<String, InvalidField> {
        let name = if word == "resourceUrl" { "resourceUri" } else { word };
        if self.fields.contains(&name) {
            return Ok(name.to_owned());
        }
        Err(refused(column, format!("`{}` is not a field, expected one of {}", word, self.fields.join(", "))))
    }

    fn word(&mut self) -> Result<String, InvalidField> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let word = word.clone();
                self.position += 1;
                Ok(word)
            }
            _ => Err(refused(self.column(), "expected a field or a function")),
        }
    }

    fn value(&mut self) -> Result<String, InvalidField> {
        match self.peek() {
            Some(Token::Word(text) | Token::Text(text)) => {
                let text = text.clone();
                self.position += 1;
                Ok(text)
            }
            _ => Err(refused(self.column(), "expected a value")),
        }
    }

    fn symbol(&mut self, symbol: char) -> Result<(), InvalidField> {
        if self.peek() == Some(&Token::Symbol(symbol)) {
            self.position += 1;
            return Ok(());
        }
        Err(refused(self.column(), format!("expected `{symbol}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIELDS: &[&str] = &["kind", "resourceUri", "noteId"];

    fn matches(filter: &str) -> bool {
        let field = |name: &str| match name {
            "kind" => "ATTESTATION".to_owned(),
            "resourceUri" => "https://r.test/a@sha256:ab".to_owned(),
            _ => "n".to_owned(),
        };
        Filter::parse(filter, FIELDS).unwrap().matches(&field)
    }

    #[test]
    fn what_clients_send_is_understood() {
        let table = [
            ("", true),
            ("has_suffix(resourceUrl, \"sha256:ab\")", true),
            ("has_suffix(resourceUrl, \"sha256:cd\")", false),
            ("kind=\"ATTESTATION\" AND noteId=\"n\"", true),
            ("kind = \"BUILD\" OR kind = \"ATTESTATION\" AND noteId=\"x\"", false),
            ("((kind = \"BUILD\") OR (kind = \"SBOM_REFERENCE\")) AND ((resourceUrl = \"https://r.test/a@sha256:ab\"))", false),
            ("NOT kind=\"BUILD\" noteId=n", true),
            ("-kind=ATTESTATION", false),
            ("kind != \"BUILD\"", true),
        ];
        for (filter, expected) in table {
            assert_eq!(matches(filter), expected, "{filter}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_its_column() {
        let deep = "(".repeat(100);
        for filter in ["kind", "kind=", "color=1", "has_suffix(kind)", "f(kind, \"x\")", "kind=\"x", "(kind=x", "kind=x)", "kind @ x", "AND", &deep] {
            let error = Filter::parse(filter, FIELDS).unwrap_err();
            assert!(error.path == "filter" && error.to_string().contains("column"), "{filter}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,200}") {
            let _ = Filter::parse(&text, FIELDS);
        }
    }
}
