//! Text into tokens.

use std::iter::Peekable;
use std::str::Chars;

use super::{MAX_FILTER, refused};
use crate::json::InvalidField;

/// What stands between a field and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `:`
    Has,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `=~`
    Matches,
    /// `!~`
    NotMatches,
}

impl Operator {
    /// Whether it holds between two values with an order; the operators on texts never do.
    pub(super) fn holds<T: Ord>(self, left: &T, right: &T) -> bool {
        match self {
            Operator::Equal => left == right,
            Operator::NotEqual => left != right,
            Operator::Less => left < right,
            Operator::LessOrEqual => left <= right,
            Operator::Greater => left > right,
            Operator::GreaterOrEqual => left >= right,
            Operator::Has | Operator::Matches | Operator::NotMatches => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Unquoted text; more than one segment when dots were in it: `labels."a.b"` has two.
    Word(Vec<String>),
    Quoted(String),
    Operator(Operator),
    Open,
    Close,
    Comma,
    /// `-` before a term: not.
    Minus,
}

/// Every token with the column it begins at.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, InvalidField> {
    if text.len() > MAX_FILTER {
        return Err(refused(
            0,
            format_args!("the filter is longer than {MAX_FILTER} characters"),
        ));
    }
    let mut lexer = Lexer {
        characters: text.chars().peekable(),
        column: 0,
    };
    let mut tokens: Vec<(usize, Token)> = Vec::new();
    loop {
        while lexer.next_if(char::is_whitespace).is_some() {}
        let column = lexer.column;
        let after_operator = matches!(tokens.last(), Some((_, Token::Operator(_))));
        match lexer.token(after_operator)? {
            Some(token) => tokens.push((column, token)),
            None => return Ok(tokens),
        }
    }
}

struct Lexer<'a> {
    characters: Peekable<Chars<'a>>,
    column: usize,
}

impl Lexer<'_> {
    /// `after_operator`: an unquoted value may contain what elsewhere ends a word, as times and digests do.
    fn token(&mut self, after_operator: bool) -> Result<Option<Token>, InvalidField> {
        let column = self.column;
        let Some(first) = self.characters.peek().copied() else {
            return Ok(None);
        };
        let token = match first {
            '"' | '\'' => Token::Quoted(self.quoted()?),
            '(' => self.symbol(Token::Open),
            ')' => self.symbol(Token::Close),
            ',' => self.symbol(Token::Comma),
            _ if after_operator => Token::Word(vec![
                self.run(|next| !next.is_whitespace() && !"(),\"'".contains(next)),
            ]),
            '-' => self.symbol(Token::Minus),
            '=' | '!' | '<' | '>' | ':' => Token::Operator(self.operator()?),
            _ if is_word(first) => Token::Word(self.word()?),
            other => {
                return Err(refused(
                    column,
                    format_args!("unexpected `{}`", other.escape_debug()),
                ));
            }
        };
        Ok(Some(token))
    }

    fn symbol(&mut self, token: Token) -> Token {
        self.next();
        token
    }

    fn operator(&mut self) -> Result<Operator, InvalidField> {
        let column = self.column;
        let first = self.next();
        let equal = |lexer: &mut Self| lexer.next_if(|next| next == '=').is_some();
        let tilde = |lexer: &mut Self| lexer.next_if(|next| next == '~').is_some();
        Ok(match first {
            Some('=') if tilde(self) => Operator::Matches,
            Some('=') => Operator::Equal,
            Some('!') if equal(self) => Operator::NotEqual,
            Some('!') if tilde(self) => Operator::NotMatches,
            Some('<') if equal(self) => Operator::LessOrEqual,
            Some('<') => Operator::Less,
            Some('>') if equal(self) => Operator::GreaterOrEqual,
            Some('>') => Operator::Greater,
            Some(':') => Operator::Has,
            _ => {
                return Err(refused(
                    column,
                    "unexpected `!`: expected `!=`, or `NOT` before a term",
                ));
            }
        })
    }

    /// Segments joined by dots; a segment after a dot may be quoted.
    fn word(&mut self) -> Result<Vec<String>, InvalidField> {
        let mut segments = Vec::new();
        loop {
            let quoted = matches!(self.characters.peek(), Some('"' | '\''));
            segments.push(if quoted { self.quoted()? } else { self.run(is_word) });
            if self.next_if(|next| next == '.').is_none() {
                return Ok(segments);
            }
        }
    }

    fn quoted(&mut self) -> Result<String, InvalidField> {
        let column = self.column;
        let quote = self.next();
        let mut text = String::new();
        loop {
            let here = self.column;
            match self.next() {
                None => return Err(refused(column, "the quoted text does not end")),
                Some('\\') => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some(escaped @ ('"' | '\'' | '\\')) => text.push(escaped),
                    _ => {
                        return Err(refused(here, "expected `\\\"`, `\\'`, `\\\\`, `\\n` or `\\t`"));
                    }
                },
                end if end == quote => return Ok(text),
                Some(other) => text.push(other),
            }
        }
    }

    fn run(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut text = String::new();
        while let Some(next) = self.next_if(&wanted) {
            text.push(next);
        }
        text
    }

    fn next(&mut self) -> Option<char> {
        let next = self.characters.next();
        self.column += usize::from(next.is_some());
        next
    }

    fn next_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let next = self.characters.next_if(|next| wanted(*next));
        self.column += usize::from(next.is_some());
        next
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || "_/-*@".contains(character)
}
