//! Tokens into a tree, without knowing what the fields are.

use std::sync::Arc;

use super::lexer::{Lexeme, Operator, Token, Value, tokens};
use super::{Dialect, Error};
use crate::json::InvalidField;

/// Nesting of parentheses, `NOT`s and calls. Each level costs some hundred bytes of stack here and in every evaluation.
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
    /// `operand operator value`. `path = ("a" OR "b")` comes as two of them, which share the operand.
    Comparison {
        /// What is compared.
        operand: Arc<Operand>,
        /// The operator.
        operator: Operator,
        /// The value.
        value: Value,
    },
    /// `operand operator name(argument, …)`; in Monitoring only.
    Function {
        /// What is compared.
        operand: Arc<Operand>,
        /// The operator.
        operator: Operator,
        /// The function on the right.
        call: Call,
    },
    /// `name(argument, …)` alone.
    Call(Call),
    /// A lone word or quoted text.
    Bare(Value),
}

/// What is compared, or an argument of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// A field's path, segment by segment; a text or a number comes as one too.
    Path(Vec<Value>),
    /// What a function makes of its arguments.
    Call(Call),
}

/// `name(argument, …)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The function.
    pub name: String,
    /// Where its name begins (from 0).
    pub column: usize,
    /// Its arguments.
    pub arguments: Vec<Operand>,
}

impl Operand {
    /// The column it begins at (from 0).
    pub fn column(&self) -> usize {
        match self {
            Operand::Path(segments) => segments.first().map_or(0, |first| first.column),
            Operand::Call(call) => call.column,
        }
    }

    /// What an argument says that is no field. `None` for a call.
    pub fn value(&self) -> Option<Value> {
        match self {
            Operand::Path(segments) => Some(whole(segments.clone(), self.column())),
            Operand::Call(_) => None,
        }
    }
}

pub(crate) fn joined(segments: &[Value]) -> String {
    let texts: Vec<&str> = segments.iter().map(|segment| segment.text.as_str()).collect();
    texts.join(".")
}

impl Expression {
    /// Reads a filter; the error names the column.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Expression, InvalidField> {
        parse(text, dialect).map_err(|error| error.in_text(text))
    }
}

pub(crate) fn parse(text: &str, dialect: Dialect) -> Result<Expression, Error> {
    let tokens = tokens(text, dialect)?;
    if tokens.is_empty() {
        return Ok(Expression::Everything);
    }
    let mut parser = Parser {
        tokens: &tokens,
        dialect,
        end: text.chars().count(),
    };
    let expression = parser.all(None, MAX_DEPTH)?;
    match parser.tokens.first() {
        None => Ok(expression),
        Some(left) => Err(Error::at(left.start, "unexpected `)`, `,` or operator")),
    }
}

/// What the values inside `operand operator ( … )` are compared with.
type Compared<'a> = Option<(&'a Arc<Operand>, Operator)>;

struct Parser<'a> {
    /// What is left.
    tokens: &'a [Lexeme],
    dialect: Dialect,
    end: usize,
}

impl<'a> Parser<'a> {
    fn all(&mut self, compared: Compared<'_>, depth: usize) -> Result<Expression, Error> {
        let mut parts = vec![self.any(compared, depth)?];
        loop {
            let begins_term = matches!(self.peek(), Some(Token::Text(_) | Token::Open | Token::Minus));
            if !self.take_keyword("AND") && !begins_term {
                return Ok(one_or(parts, Expression::All));
            }
            parts.push(self.any(compared, depth)?);
        }
    }

    fn any(&mut self, compared: Compared<'_>, depth: usize) -> Result<Expression, Error> {
        let mut parts = vec![self.one(compared, depth)?];
        while self.take_keyword("OR") {
            parts.push(self.one(compared, depth)?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn one(&mut self, compared: Compared<'_>, depth: usize) -> Result<Expression, Error> {
        let column = self.column();
        let depth = self.deeper(depth)?;
        if self.take(&Token::Minus) || self.take_keyword("NOT") {
            return Ok(Expression::Not(Box::new(self.one(compared, depth)?)));
        }
        if self.take(&Token::Open) {
            let inner = self.all(compared, depth)?;
            self.close()?;
            return Ok(inner);
        }
        if let Some((operand, operator)) = compared {
            let value = self.value("a condition")?;
            let term = Term::Comparison {
                operand: Arc::clone(operand),
                operator,
                value,
            };
            return Ok(Expression::Term(column, term));
        }
        self.condition(column, depth)
    }

    /// One condition that is not in a list of values.
    fn condition(&mut self, column: usize, depth: usize) -> Result<Expression, Error> {
        let call_may_follow = !matches!(self.peek(), Some(Token::Text(segments)) if is_quoted(segments));
        let (segments, end) = self.text("a condition")?;
        let operand = if call_may_follow && self.opens_call(end) {
            Operand::Call(self.call(column, &segments, depth)?)
        } else {
            Operand::Path(segments)
        };
        let path_may_be_quoted = self.dialect != Dialect::Aip;
        match self.peek() {
            Some(Token::Operator(operator)) if call_may_follow || path_may_be_quoted => {
                let operator = *operator;
                self.advance();
                return self.comparison(column, Arc::new(operand), operator, depth);
            }
            _ => {}
        }
        let term = match operand {
            Operand::Call(call) => Term::Call(call),
            Operand::Path(segments) => Term::Bare(whole(segments, column)),
        };
        Ok(Expression::Term(column, term))
    }

    /// What follows an operator.
    fn comparison(
        &mut self,
        column: usize,
        operand: Arc<Operand>,
        operator: Operator,
        depth: usize,
    ) -> Result<Expression, Error> {
        if self.take(&Token::Open) {
            let values = self.all(Some((&operand, operator)), depth)?;
            self.close()?;
            return Ok(values);
        }
        let at = self.column();
        let (segments, end) = self.text("a value")?;
        let term = if self.dialect == Dialect::Monitoring && !is_quoted(&segments) && self.opens_call(end) {
            let call = self.call(at, &segments, depth)?;
            Term::Function {
                operand,
                operator,
                call,
            }
        } else {
            Term::Comparison {
                operand,
                operator,
                value: whole(segments, at),
            }
        };
        Ok(Expression::Term(column, term))
    }

    /// Takes the parenthesis of a call. In Logging `word (a OR b)` is a word and a group: a call has no space there.
    fn opens_call(&mut self, end: usize) -> bool {
        let adjacent = self.column() == end;
        (adjacent || self.dialect == Dialect::Aip) && self.take(&Token::Open)
    }

    /// The arguments of a call, after its parenthesis.
    fn call(&mut self, column: usize, name: &[Value], depth: usize) -> Result<Call, Error> {
        let depth = self.deeper(depth)?;
        let mut arguments = Vec::new();
        if !self.take(&Token::Close) {
            loop {
                arguments.push(self.argument(depth)?);
                if !self.take(&Token::Comma) {
                    break;
                }
            }
            self.close()?;
        }
        Ok(Call {
            name: joined(name),
            column,
            arguments,
        })
    }

    fn argument(&mut self, depth: usize) -> Result<Operand, Error> {
        let column = self.column();
        let (segments, end) = self.text("an argument")?;
        let may_nest = self.dialect != Dialect::Aip && !is_quoted(&segments);
        if may_nest && self.opens_call(end) {
            return self.call(column, &segments, depth).map(Operand::Call);
        }
        Ok(Operand::Path(segments))
    }

    fn deeper(&self, depth: usize) -> Result<usize, Error> {
        depth
            .checked_sub(1)
            .ok_or_else(|| Error::at(self.column(), "nested too deeply"))
    }

    fn value(&mut self, expected: &str) -> Result<Value, Error> {
        let column = self.column();
        let (segments, _) = self.text(expected)?;
        Ok(whole(segments, column))
    }

    /// A word or quoted text, and where it ends. A keyword is no word.
    fn text(&mut self, expected: &str) -> Result<(Vec<Value>, usize), Error> {
        match self.tokens.first() {
            Some(Lexeme {
                token: Token::Text(segments),
                end,
                ..
            }) if !["AND", "OR", "NOT"].iter().any(|word| is_word(segments, word)) => {
                self.advance();
                Ok((segments.clone(), *end))
            }
            _ => Err(Error::at(self.column(), format_args!("expected {expected}"))),
        }
    }

    fn close(&mut self) -> Result<(), Error> {
        if self.take(&Token::Close) {
            Ok(())
        } else {
            Err(Error::at(self.column(), "expected `)`"))
        }
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Text(segments)) if is_word(segments, keyword));
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
        self.tokens.first().map(|lexeme| &lexeme.token)
    }

    fn advance(&mut self) {
        self.tokens = self.tokens.split_first().map_or(&[], |(_, rest)| rest);
    }

    fn column(&self) -> usize {
        self.tokens.first().map_or(self.end, |lexeme| lexeme.start)
    }
}

/// Whether it is this one unquoted word.
fn is_word(segments: &[Value], word: &str) -> bool {
    matches!(segments, [only] if !only.quoted && only.text == word)
}

/// Whether it is one quoted text.
fn is_quoted(segments: &[Value]) -> bool {
    matches!(segments, [only] if only.quoted)
}

/// All segments as one value: `1.5` is not a path where a value stands.
fn whole(segments: Vec<Value>, column: usize) -> Value {
    match <[Value; 1]>::try_from(segments) {
        Ok([only]) => only,
        Err(segments) => Value {
            text: joined(&segments),
            raw: segments
                .iter()
                .map(|segment| segment.raw.as_str())
                .collect::<Vec<_>>()
                .join("."),
            quoted: false,
            column,
        },
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
