//! Tokens into a tree, without knowing what the fields are.

use super::lexer::{Operator, Token, tokens};
use super::refused;
use crate::json::InvalidField;

/// Nesting of parentheses and `NOT`s. Each level costs some hundred bytes of stack here and in every evaluation.
const MAX_DEPTH: usize = 32;

/// A filter as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Nothing was written: everything is wanted.
    Everything,
    /// All of these.
    All(Vec<Expression>),
    /// One of these at least.
    Any(Vec<Expression>),
    /// Not this.
    Not(Box<Expression>),
    /// One condition, and the column it begins at (from 0).
    Term(usize, Term),
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// `path operator value`. `path = ("a" OR "b")` comes as two of them.
    Comparison {
        /// The field's path, segment by segment.
        path: Vec<String>,
        /// The operator.
        operator: Operator,
        /// The value, as text.
        value: String,
    },
    /// `name(argument, …)`; each argument with its column, a path when it was not quoted.
    Call {
        /// The function.
        name: String,
        /// Its arguments.
        arguments: Vec<(usize, Vec<String>)>,
    },
    /// A lone word or quoted text.
    Bare(String),
}

impl Expression {
    /// Reads a filter; the error names the column.
    pub fn parse(text: &str) -> Result<Expression, InvalidField> {
        let tokens = tokens(text)?;
        if tokens.is_empty() {
            return Ok(Expression::Everything);
        }
        let mut parser = Parser {
            tokens: &tokens,
            end: text.chars().count(),
        };
        let expression = parser.all(None, MAX_DEPTH)?;
        match parser.tokens.first() {
            None => Ok(expression),
            Some((column, _)) => Err(refused(*column, "unexpected `)`, `,` or operator")),
        }
    }
}

/// What the values inside `path operator ( … )` are compared with.
type Compared<'a> = Option<(&'a [String], Operator)>;

struct Parser<'a> {
    /// What is left.
    tokens: &'a [(usize, Token)],
    end: usize,
}

impl<'a> Parser<'a> {
    fn all(&mut self, compared: Compared<'_>, depth: usize) -> Result<Expression, InvalidField> {
        let mut parts = vec![self.any(compared, depth)?];
        loop {
            let begins_term = matches!(
                self.peek(),
                Some(Token::Word(_) | Token::Quoted(_) | Token::Open | Token::Minus)
            );
            if !self.take_keyword("AND") && !begins_term {
                return Ok(one_or(parts, Expression::All));
            }
            parts.push(self.any(compared, depth)?);
        }
    }

    fn any(&mut self, compared: Compared<'_>, depth: usize) -> Result<Expression, InvalidField> {
        let mut parts = vec![self.one(compared, depth)?];
        while self.take_keyword("OR") {
            parts.push(self.one(compared, depth)?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn one(&mut self, compared: Compared<'_>, depth: usize) -> Result<Expression, InvalidField> {
        let column = self.column();
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| refused(column, "nested too deeply"))?;
        if self.take(&Token::Minus) || self.take_keyword("NOT") {
            return Ok(Expression::Not(Box::new(self.one(compared, depth)?)));
        }
        if self.take(&Token::Open) {
            let inner = self.all(compared, depth)?;
            self.close()?;
            return Ok(inner);
        }
        let (word, quoted) = self.word("a condition")?;
        let term = match compared {
            Some((path, operator)) => Term::Comparison {
                path: path.to_vec(),
                operator,
                value: word.join("."),
            },
            None if quoted => Term::Bare(word.join(".")),
            None => return self.condition(column, word, depth),
        };
        Ok(Expression::Term(column, term))
    }

    /// What follows an unquoted word at the place of a condition.
    fn condition(
        &mut self,
        column: usize,
        word: Vec<String>,
        depth: usize,
    ) -> Result<Expression, InvalidField> {
        if let Some(Token::Operator(operator)) = self.peek() {
            let operator = *operator;
            self.advance();
            if self.take(&Token::Open) {
                let values = self.all(Some((&word, operator)), depth)?;
                self.close()?;
                return Ok(values);
            }
            let (value, _) = self.word("a value")?;
            let value = value.join(".");
            return Ok(Expression::Term(
                column,
                Term::Comparison {
                    path: word,
                    operator,
                    value,
                },
            ));
        }
        let name = word.join(".");
        if !self.take(&Token::Open) {
            return Ok(Expression::Term(column, Term::Bare(name)));
        }
        let mut arguments = Vec::new();
        if !self.take(&Token::Close) {
            loop {
                let column = self.column();
                arguments.push((column, self.word("an argument")?.0));
                if !self.take(&Token::Comma) {
                    break;
                }
            }
            self.close()?;
        }
        Ok(Expression::Term(column, Term::Call { name, arguments }))
    }

    /// The text of a word or of quoted text, and whether it was quoted. A keyword is no word.
    fn word(&mut self, expected: &str) -> Result<(Vec<String>, bool), InvalidField> {
        let found = match self.peek() {
            Some(Token::Quoted(text)) => Some((vec![text.clone()], true)),
            Some(Token::Word(segments)) => Some((segments.clone(), false)),
            _ => None,
        };
        let is_keyword =
            |word: &[String]| matches!(word, [word] if ["AND", "OR", "NOT"].contains(&word.as_str()));
        match found {
            Some((word, quoted)) if quoted || !is_keyword(&word) => {
                self.advance();
                Ok((word, quoted))
            }
            _ => Err(refused(self.column(), format_args!("expected {expected}"))),
        }
    }

    fn close(&mut self) -> Result<(), InvalidField> {
        if self.take(&Token::Close) {
            Ok(())
        } else {
            Err(refused(self.column(), "expected `)`"))
        }
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(segments)) if matches!(segments.as_slice(), [only] if only == keyword));
        if found {
            self.advance();
        }
        found
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.advance();
        }
        found
    }

    fn peek(&self) -> Option<&'a Token> {
        self.tokens.first().map(|(_, token)| token)
    }

    fn advance(&mut self) {
        self.tokens = self.tokens.split_first().map_or(&[], |(_, rest)| rest);
    }

    fn column(&self) -> usize {
        self.tokens.first().map_or(self.end, |(column, _)| *column)
    }
}

fn one_or(mut parts: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (Some(last), false) => {
            parts.push(last);
            join(parts)
        }
        (None, _) => Expression::Everything,
    }
}
