//! Text into tokens.

use std::iter::Peekable;
use std::str::Chars;

use super::{Dialect, Error, MAX_FILTER};

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
    pub(crate) fn holds<T: PartialOrd + ?Sized>(self, left: &T, right: &T) -> bool {
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

/// A word or quoted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// What it says.
    pub text: String,
    /// As it is written, but for the escapes of quotes: what a regular expression is made of.
    pub raw: String,
    /// Whether it was quoted.
    pub quoted: bool,
    /// The column it begins at (from 0).
    pub column: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word or quoted text; more than one segment when dots were in it: `labels."a.b"` has two.
    Text(Vec<Value>),
    Operator(Operator),
    Open,
    Close,
    Comma,
    /// `-` before a term: not.
    Minus,
}

/// A token with the columns where it begins and where it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lexeme {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Every token.
pub(super) fn tokens(text: &str, dialect: Dialect) -> Result<Vec<Lexeme>, Error> {
    if text.chars().count() > MAX_FILTER {
        let why = format_args!("the filter is longer than {MAX_FILTER} characters");
        return Err(Error::at(0, why));
    }
    let mut lexer = Lexer {
        characters: text.chars().peekable(),
        column: 0,
        dialect,
    };
    let mut tokens: Vec<Lexeme> = Vec::new();
    // For every open parenthesis: whether values stand in it, as in `field = (a OR b)`.
    let mut values: Vec<bool> = Vec::new();
    loop {
        lexer.skip_blanks();
        let start = lexer.column;
        let after_operator = matches!(tokens.last(), Some(last) if matches!(last.token, Token::Operator(_)));
        let in_values = dialect != Dialect::Aip && values.last() == Some(&true);
        let Some(token) = lexer.token(after_operator, in_values)? else {
            return Ok(tokens);
        };
        match token {
            Token::Open => values.push(after_operator || in_values),
            Token::Close => {
                values.pop();
            }
            _ => {}
        }
        let end = lexer.column;
        tokens.push(Lexeme { token, start, end });
    }
}

struct Lexer<'a> {
    characters: Peekable<Chars<'a>>,
    column: usize,
    dialect: Dialect,
}

impl Lexer<'_> {
    /// White space and, in Logging, comments.
    fn skip_blanks(&mut self) {
        loop {
            while self.next_if(char::is_whitespace).is_some() {}
            let mut ahead = self.characters.clone();
            let comment = ahead.next() == Some('-') && ahead.next() == Some('-');
            if self.dialect != Dialect::Logging || !comment {
                return;
            }
            while self.next_if(|next| next != '\n').is_some() {}
        }
    }

    /// `after_operator` and `in_values`: an unquoted value may contain what elsewhere ends a word, as times and digests
    /// do. In a list of values a `-` at its beginning still means "not".
    fn token(&mut self, after_operator: bool, in_values: bool) -> Result<Option<Token>, Error> {
        let column = self.column;
        let Some(first) = self.characters.peek().copied() else {
            return Ok(None);
        };
        let token = match first {
            '"' | '\'' if after_operator => Token::Text(vec![self.quoted()?]),
            '"' | '\'' => Token::Text(self.word()?),
            '(' => self.symbol(Token::Open),
            ')' => self.symbol(Token::Close),
            ',' => self.symbol(Token::Comma),
            _ if after_operator => Token::Text(vec![self.value()]),
            '-' => self.symbol(Token::Minus),
            _ if in_values => Token::Text(vec![self.value()]),
            '=' | '!' | '<' | '>' | ':' => Token::Operator(self.operator()?),
            _ if self.dialect.is_word(first) => Token::Text(self.word()?),
            other => {
                let why = format_args!("unexpected `{}`", other.escape_debug());
                return Err(Error::at(column, why));
            }
        };
        Ok(Some(token))
    }

    fn symbol(&mut self, token: Token) -> Token {
        self.next();
        token
    }

    fn operator(&mut self) -> Result<Operator, Error> {
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
                let why = "unexpected `!`: expected `!=`, or `NOT` before a term";
                return Err(Error::at(column, why));
            }
        })
    }

    /// Segments joined by dots; each may be quoted. AIP-160 knows quoted text at the beginning only alone.
    fn word(&mut self) -> Result<Vec<Value>, Error> {
        let dialect = self.dialect;
        let mut segments = Vec::new();
        loop {
            let quoted = matches!(self.characters.peek(), Some('"' | '\''));
            segments.push(if quoted {
                self.quoted()?
            } else {
                self.run(|next| dialect.is_word(next))
            });
            let alone = dialect == Dialect::Aip && quoted && segments.len() == 1;
            if alone || self.next_if(|next| next == '.').is_none() {
                return Ok(segments);
            }
        }
    }

    fn value(&mut self) -> Value {
        self.run(|next| !next.is_whitespace() && !"(),\"'".contains(next))
    }

    fn quoted(&mut self) -> Result<Value, Error> {
        let column = self.column;
        let quote = self.next();
        let (mut text, mut raw) = (String::new(), String::new());
        loop {
            let here = self.column;
            match self.next() {
                None => return Err(Error::at(column, "the quoted text does not end")),
                Some('\\') => match self.next() {
                    Some(escaped @ ('"' | '\'')) => {
                        text.push(escaped);
                        raw.push(escaped);
                    }
                    Some(escaped @ ('n' | 't' | '\\')) => {
                        raw.extend(['\\', escaped]);
                        text.push(match escaped {
                            'n' => '\n',
                            't' => '\t',
                            other => other,
                        });
                    }
                    Some(other) if self.dialect == Dialect::Logging => {
                        text.extend(['\\', other]);
                        raw.extend(['\\', other]);
                    }
                    _ => {
                        let why = "expected `\\\"`, `\\'`, `\\\\`, `\\n` or `\\t`";
                        return Err(Error::at(here, why));
                    }
                },
                end if end == quote => {
                    return Ok(Value {
                        text,
                        raw,
                        quoted: true,
                        column,
                    });
                }
                Some(other) => {
                    text.push(other);
                    raw.push(other);
                }
            }
        }
    }

    fn run(&mut self, wanted: impl Fn(char) -> bool) -> Value {
        let column = self.column;
        let mut text = String::new();
        while let Some(next) = self.next_if(&wanted) {
            text.push(next);
        }
        Value {
            raw: text.clone(),
            text,
            quoted: false,
            column,
        }
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

impl Dialect {
    fn is_word(self, character: char) -> bool {
        let more = if self == Dialect::Aip { "" } else { "%+$#" };
        character.is_alphanumeric() || "_/-*@".contains(character) || more.contains(character)
    }
}
