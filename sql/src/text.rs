//! SQL text becomes tokens: within limits, with its parameter markers numbered.
//!
//! Flow: text -> [`Text::read`] (size, tokens, nesting, chains, versions, markers) -> [`Text::parse`] -> one
//! statement.
//!
//! The limits are counted on tokens, before anything recursive looks at them: a planner that runs out of
//! stack aborts the whole process, and a flat `1+1+…` is as deep a tree as nested parentheses.

use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Word};

use crate::error::{Complaint, Error, Place, Result};
use crate::functions::bare_units;

mod versions;

/// The longest statement, in bytes.
const BYTES_MAX: usize = 256 * 1024;
/// The most operators in one expression, and the most joins and set operations in one query.
const CHAIN_MAX: usize = 1_000;
/// The most items in one list.
const ITEMS_MAX: usize = 10_000;
/// The deepest nesting of brackets and of what the parser calls itself for.
const NESTING_MAX: usize = 100;
/// The most parameters.
const MARKERS_MAX: usize = 1_000;

/// A statement as tokens, its markers written `$1`, `$2`, …
#[derive(Debug)]
pub(crate) struct Text<'a> {
    sql: &'a str,
    tokens: Vec<TokenWithSpan>,
    markers: usize,
}

impl<'a> Text<'a> {
    /// Splits `sql` into tokens and checks the limits.
    pub(crate) fn read(sql: &'a str) -> Result<Self> {
        if sql.len() > BYTES_MAX {
            let message = format!("the statement has {} bytes; the most is {BYTES_MAX}", sql.len());
            return Err(Error::Syntax(
                Complaint::new(message).remedy("load long lists into a table and join it"),
            ));
        }
        let mut tokens =
            Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().map_err(|error| {
                Error::from(DataFusionError::SQL(Box::new(error.into()), None)).with_text(sql)
            })?;
        check_limits(&tokens).map_err(|complaint| Error::Syntax(complaint.with_text(sql)))?;
        tokens = versions::rewrite(tokens).map_err(|c| Error::Syntax(c.with_text(sql)))?;
        let markers = number_markers(&mut tokens).map_err(|c| Error::Syntax(c.with_text(sql)))?;
        Ok(Self { sql, tokens, markers })
    }

    /// The number of parameters: the highest marker.
    pub(crate) fn markers(&self) -> usize {
        self.markers
    }

    /// The text as given.
    pub(crate) fn sql(&self) -> &'a str {
        self.sql
    }

    /// The word that the statement begins with, if it is one that the language reserves.
    pub(crate) fn first_keyword(&self) -> Keyword {
        let words = self.tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
        match words.map(|token| &token.token) {
            Some(Token::Word(word)) => word.keyword,
            _ => Keyword::NoKeyword,
        }
    }

    /// The tokens, their markers numbered, for a grammar that the library has not.
    pub(crate) fn parser(&self) -> Parser<'static> {
        Parser::new(&GenericDialect {})
            .with_recursion_limit(NESTING_MAX)
            .with_tokens_with_locations(self.tokens.clone())
    }

    /// Where a name stands in the text: the first token that spells it.
    pub(crate) fn place_of(&self, name: &str) -> Option<Place> {
        let spelt = |token: &TokenWithSpan| match &token.token {
            Token::Word(word) => word.value == name || word.value.to_lowercase() == name,
            _ => false,
        };
        self.tokens.iter().find(|token| spelt(token)).map(place)
    }

    /// Parses exactly one statement; a `;` may end it.
    pub(crate) fn parse(&self) -> Result<Statement> {
        let sql = self.sql;
        let parse = || {
            DFParserBuilder::new(self.tokens.clone())
                .with_dialect(&GenericDialect {})
                .with_recursion_limit(NESTING_MAX)
                .build()?
                .parse_statements()
        };
        let mut statements = parse().map_err(|error| Error::from(error).with_text(sql))?;
        match (statements.pop_front(), statements.len()) {
            (Some(mut statement), 0) => {
                quote_bare_units(&mut statement);
                Ok(statement)
            }
            (None, _) => Err(Error::Syntax(
                Complaint::new("there is no statement").remedy("write one, for example SELECT 1"),
            )),
            (Some(_), more) => Err(Error::Syntax(
                Complaint::new(format!("{} statements were sent as one", more + 1))
                    .remedy("send each statement by itself"),
            )),
        }
    }
}

fn quote_bare_units(statement: &mut Statement) {
    match statement {
        Statement::Statement(ast) => bare_units::quote(ast),
        Statement::Explain(explain) => quote_bare_units(&mut explain.statement),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => {}
    }
}

/// The counters of one bracket level.
#[derive(Default)]
struct Level {
    /// Operators since the last comma or clause.
    operators: usize,
    /// Joins and set operations.
    branches: usize,
    /// Commas.
    items: usize,
}

fn check_limits(tokens: &[TokenWithSpan]) -> Result<(), Complaint> {
    let mut levels = vec![Level::default()];
    for token in tokens {
        let Some(level) = levels.last_mut() else { break };
        match Weight::of(&token.token) {
            Weight::Nothing => {}
            Weight::Operator => level.operators += 1,
            Weight::Branch => {
                level.branches += 1;
                level.operators = 0;
            }
            Weight::Clause => level.operators = 0,
            Weight::Item => {
                level.items += 1;
                level.operators = 0;
            }
            Weight::Open => levels.push(Level::default()),
            Weight::Close if levels.len() > 1 => drop(levels.pop()),
            Weight::Close => {}
        }
        over_limit(&levels).map_or(Ok(()), |c| Err(c.at(Some(place(token)))))?;
    }
    Ok(())
}

fn over_limit(levels: &[Level]) -> Option<Complaint> {
    let level = levels.last()?;
    if levels.len() > NESTING_MAX {
        let message = format!("the statement is nested more than {NESTING_MAX} levels deep");
        return Some(Complaint::new(message).remedy("move inner parts into WITH queries or views"));
    }
    if level.operators > CHAIN_MAX {
        let message = format!("one expression chains more than {CHAIN_MAX} operators");
        return Some(
            Complaint::new(message).remedy("use IN (…), or load the values into a table and join it"),
        );
    }
    if level.branches > CHAIN_MAX {
        let message = format!("one query has more than {CHAIN_MAX} joins and set operations");
        return Some(Complaint::new(message).remedy("split it into several views"));
    }
    if level.items > ITEMS_MAX {
        let message = format!("one list has more than {ITEMS_MAX} items");
        return Some(Complaint::new(message).remedy("load the values into a table and join it"));
    }
    None
}

/// What a token adds to the depth of the tree.
enum Weight {
    Nothing,
    Operator,
    Branch,
    Clause,
    Item,
    Open,
    Close,
}

impl Weight {
    fn of(token: &Token) -> Self {
        match token {
            Token::Word(Word { keyword, quote_style: None, .. }) => Self::of_keyword(*keyword),
            Token::EOF
            | Token::Word(_)
            | Token::Number(..)
            | Token::Whitespace(_)
            | Token::Placeholder(_)
            | Token::Period
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_) => Self::Nothing,
            Token::Comma | Token::SemiColon => Self::Item,
            Token::LParen | Token::LBracket | Token::LBrace => Self::Open,
            Token::RParen | Token::RBracket | Token::RBrace => Self::Close,
            _ => Self::Operator,
        }
    }

    fn of_keyword(keyword: Keyword) -> Self {
        match keyword {
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS | Keyword::JOIN => {
                Self::Branch
            }
            Keyword::SELECT
            | Keyword::FROM
            | Keyword::WHERE
            | Keyword::BY
            | Keyword::HAVING
            | Keyword::QUALIFY
            | Keyword::WHEN
            | Keyword::THEN
            | Keyword::ELSE
            | Keyword::ON => Self::Clause,
            Keyword::AND
            | Keyword::OR
            | Keyword::XOR
            | Keyword::NOT
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::SIMILAR
            | Keyword::RLIKE
            | Keyword::REGEXP
            | Keyword::BETWEEN
            | Keyword::AT
            | Keyword::COLLATE
            | Keyword::DIV
            | Keyword::OVERLAPS => Self::Operator,
            // CASE may hold CASE without a bracket in between.
            Keyword::CASE => Self::Open,
            Keyword::END => Self::Close,
            _ => Self::Nothing,
        }
    }
}

/// Writes every marker as `$n`: `?` in order of appearance, `?n` and `$n` as they say.
fn number_markers(tokens: &mut [TokenWithSpan]) -> Result<usize, Complaint> {
    let (mut in_order, mut highest) = (0_usize, 0_usize);
    let mut numbered = false;
    for token in tokens {
        let at = place(token);
        let Token::Placeholder(marker) = &mut token.token else { continue };
        let number = match marker.get(1..) {
            Some("") if marker == "?" => {
                in_order += 1;
                in_order
            }
            Some(digits) => {
                numbered = true;
                digits.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                    Complaint::new(format!("`{marker}` is not a parameter marker"))
                        .remedy("use ? for each value in order, or $1, $2, …")
                        .at(Some(at))
                })?
            }
            None => continue,
        };
        if number > MARKERS_MAX {
            return Err(
                Complaint::new(format!("parameter {number} is above the most, {MARKERS_MAX}")).at(Some(at))
            );
        }
        if numbered && in_order > 0 {
            return Err(Complaint::new("the statement mixes `?` with numbered markers")
                .remedy("use ? for all parameters, or $1, $2, … for all")
                .at(Some(at)));
        }
        highest = highest.max(number);
        *marker = format!("${number}");
    }
    Ok(highest)
}

fn place(token: &TokenWithSpan) -> Place {
    Place { line: token.span.start.line, column: token.span.start.column }
}

#[cfg(test)]
mod tests;
