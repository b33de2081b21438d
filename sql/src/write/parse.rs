//! The statements that write, from tokens.
//!
//! Rows are changed in the library's grammar. Tables are created and dropped in the one that Spark has for
//! Iceberg, which the library does not know: `PARTITIONED BY (day(ts), bucket(16, id))`, for example.

mod alter;
mod changes;

use std::collections::BTreeMap;

use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{
    ColumnDef, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Insert, ObjectName, Query,
    Statement as Ast, Value,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;
use sluice_catalog::{PartitionBy, Transform};

pub(super) use self::alter::{Alter, Step};
pub(super) use self::changes::{Assigned, RowChange, Target};
use crate::error::{Complaint, Error, Result};
use crate::text::Text;

/// A statement that writes.
#[derive(Debug)]
pub(super) enum Written {
    Insert(Box<Insert>),
    Change(Box<RowChange>),
    Alter(Box<Alter>),
    CreateTable(Box<CreateTable>),
    CreateView(Box<CreateView>),
    CreateNamespace { name: String, if_not_exists: bool },
    Drop(Drop),
}

/// `CREATE TABLE`, with columns or with a query.
#[derive(Debug)]
pub(super) struct CreateTable {
    pub(super) name: ObjectName,
    pub(super) if_not_exists: bool,
    pub(super) columns: Vec<ColumnDef>,
    pub(super) partition_by: Vec<PartitionBy>,
    pub(super) properties: BTreeMap<String, String>,
    pub(super) query: Option<Box<Query>>,
}

/// `CREATE VIEW`.
#[derive(Debug)]
pub(super) struct CreateView {
    pub(super) name: ObjectName,
    pub(super) or_replace: bool,
    pub(super) if_not_exists: bool,
    pub(super) query: Box<Query>,
}

/// `DROP`.
#[derive(Debug)]
pub(super) struct Drop {
    pub(super) what: Dropped,
    pub(super) name: ObjectName,
    pub(super) if_exists: bool,
}

/// What can be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    Table,
    View,
    Namespace,
}

impl Written {
    /// The kind of statement, as the answer and the errors call it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Insert(insert) if insert.overwrite => "INSERT OVERWRITE",
            Self::Insert(_) => "INSERT",
            Self::Change(change) => change.name(),
            Self::Alter(_) => "ALTER TABLE",
            Self::CreateTable(create) if create.query.is_some() => "CREATE TABLE AS",
            Self::CreateTable(_) => "CREATE TABLE",
            Self::CreateView(_) => "CREATE VIEW",
            Self::CreateNamespace { .. } => "CREATE NAMESPACE",
            Self::Drop(drop) => drop.what.statement(),
        }
    }
}

impl Dropped {
    pub(super) fn statement(self) -> &'static str {
        match self {
            Self::Table => "DROP TABLE",
            Self::View => "DROP VIEW",
            Self::Namespace => "DROP NAMESPACE",
        }
    }
}

/// The change that a text asks for; `None` when it is of another kind.
///
/// # Errors
/// When the text begins like a change and is none.
pub(super) fn written(text: &Text<'_>) -> Result<Option<Written>> {
    let parsed = match text.first_keyword() {
        Keyword::INSERT | Keyword::UPDATE | Keyword::DELETE | Keyword::MERGE => return rows(text).map(Some),
        Keyword::ALTER => alter::parse(&mut text.parser()),
        Keyword::CREATE => create(&mut text.parser()),
        Keyword::DROP => drop(&mut text.parser()),
        _ => return Ok(None),
    };
    parsed.map_err(|error| {
        let error = datafusion::error::DataFusionError::SQL(Box::new(error), None);
        Error::from(error).with_text(text.sql())
    })
}

fn rows(text: &Text<'_>) -> Result<Written> {
    match text.parse()? {
        Parsed::Statement(ast) => match *ast {
            Ast::Insert(insert) => plain_insert(insert).map(|insert| Written::Insert(Box::new(insert))),
            Ast::Delete(delete) => changes::delete(delete),
            Ast::Update(update) => changes::update(update),
            Ast::Merge(merge) => changes::merge(merge),
            other => Err(not_here(&other.to_string())),
        },
        other => Err(not_here(&other.to_string())),
    }
}

pub(super) fn not_here(text: &str) -> Error {
    let first: String = text.chars().take(40).collect();
    let message = format!("`{first}` is not a statement that can be run here");
    Error::Unsupported(Complaint::new(message).remedy("see docs/sql.md for the statements that write"))
}

/// Refuses the parts of other dialects, which would else be left out in silence.
fn plain_insert(insert: Insert) -> Result<Insert> {
    let foreign = [
        (insert.or.is_some() || insert.replace_into, "INSERT OR …", "write MERGE INTO"),
        (insert.on.is_some(), "ON CONFLICT", "write MERGE INTO"),
        (insert.returning.is_some(), "RETURNING", "read the rows with a statement of their own"),
        (insert.partitioned.is_some(), "PARTITION (…)", "the rows themselves say their partition"),
        (insert.ignore, "INSERT IGNORE", "write MERGE INTO"),
        (insert.source.is_none(), "INSERT without rows", "write VALUES (…) or a query"),
    ];
    match foreign.into_iter().find(|(is, ..)| *is) {
        Some((_, what, remedy)) => {
            Err(Error::Unsupported(Complaint::new(format!("{what} is not possible here")).remedy(remedy)))
        }
        None => Ok(insert),
    }
}

/// `CREATE …`; `None` for what is no table, view or namespace.
fn create(parser: &mut Parser<'_>) -> Result<Option<Written>, ParserError> {
    parser.expect_keyword_is(Keyword::CREATE)?;
    let or_replace = parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]);
    let written = match parser.next_token().token {
        Token::Word(word) if word.keyword == Keyword::TABLE => {
            if or_replace {
                let remedy = "DROP TABLE it first, or INSERT OVERWRITE it";
                return Err(ParserError::ParserError(format!("CREATE OR REPLACE TABLE: {remedy}")));
            }
            Written::CreateTable(Box::new(create_table(parser)?))
        }
        Token::Word(word) if word.keyword == Keyword::VIEW => {
            let if_not_exists = if_not_exists(parser);
            let name = parser.parse_object_name(false)?;
            parser.expect_keyword_is(Keyword::AS)?;
            let query = parser.parse_query()?;
            Written::CreateView(Box::new(CreateView { name, or_replace, if_not_exists, query }))
        }
        Token::Word(word) if !or_replace && is_namespace(word.keyword, &word.value) => {
            let if_not_exists = if_not_exists(parser);
            Written::CreateNamespace { name: namespace(parser)?, if_not_exists }
        }
        _ => return Ok(None),
    };
    end(parser)?;
    Ok(Some(written))
}

fn create_table(parser: &mut Parser<'_>) -> Result<CreateTable, ParserError> {
    let if_not_exists = if_not_exists(parser);
    let name = parser.parse_object_name(false)?;
    let mut create = CreateTable {
        name,
        if_not_exists,
        columns: Vec::new(),
        partition_by: Vec::new(),
        properties: BTreeMap::new(),
        query: None,
    };
    if parser.consume_token(&Token::LParen) {
        create.columns = parser.parse_comma_separated(Parser::parse_column_def)?;
        parser.expect_token(&Token::RParen)?;
    }
    loop {
        if parser.parse_keyword(Keyword::USING) {
            let format = parser.parse_identifier()?;
            if !format.value.eq_ignore_ascii_case("iceberg") {
                return Err(wrong(format!("tables are Iceberg tables, not `{format}`")));
            }
        } else if word(parser, "PARTITIONED") || parser.parse_keyword(Keyword::PARTITION) {
            parser.expect_keyword_is(Keyword::BY)?;
            parser.expect_token(&Token::LParen)?;
            create.partition_by = parser.parse_comma_separated(partition_field)?;
            parser.expect_token(&Token::RParen)?;
        } else if parser.parse_keyword(Keyword::COMMENT) {
            create.properties.insert("comment".to_owned(), parser.parse_literal_string()?);
        } else if word(parser, "TBLPROPERTIES") {
            create.properties.extend(properties(parser)?);
        } else if parser.parse_keyword(Keyword::AS) {
            create.query = Some(parser.parse_query()?);
            break;
        } else {
            break;
        }
    }
    if create.columns.is_empty() == create.query.is_none() {
        return Err(wrong("a table is created with columns, or AS a query".to_owned()));
    }
    Ok(create)
}

/// `'key' = 'value', …` in parentheses.
pub(super) fn properties(parser: &mut Parser<'_>) -> Result<BTreeMap<String, String>, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let pairs = parser.parse_comma_separated(|parser| {
        let key = parser.parse_literal_string()?;
        parser.expect_token(&Token::Eq)?;
        Ok((key, parser.parse_literal_string()?))
    })?;
    parser.expect_token(&Token::RParen)?;
    Ok(pairs.into_iter().collect())
}

/// A column, or a transform of one as Spark writes it.
pub(super) fn partition_field(parser: &mut Parser<'_>) -> Result<PartitionBy, ParserError> {
    let expr = parser.parse_expr()?;
    let refused = || {
        let known = "year(c), month(c), day(c), hour(c), bucket(n, c), truncate(n, c)";
        wrong(format!("`{expr}` is no partition field: write a column or one of {known}"))
    };
    let function = match &expr {
        Expr::Identifier(column) => {
            return Ok(PartitionBy { column: normal(column), transform: Transform::Identity });
        }
        Expr::Function(function) => function,
        _ => return Err(refused()),
    };
    let FunctionArguments::List(list) = &function.args else { return Err(refused()) };
    let arguments: Vec<&Expr> = list
        .args
        .iter()
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect();
    let number = |expr: &Expr| match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse::<u32>().ok().filter(|n| *n > 0),
            _ => None,
        },
        _ => None,
    };
    let name = function.name.to_string().to_ascii_lowercase();
    let (transform, column) = match (name.as_str(), arguments.as_slice()) {
        ("year" | "years", [column]) => (Transform::Year, column),
        ("month" | "months", [column]) => (Transform::Month, column),
        ("day" | "days" | "date", [column]) => (Transform::Day, column),
        ("hour" | "hours" | "date_hour", [column]) => (Transform::Hour, column),
        ("bucket", [n, column] | [column, n]) if number(n).is_some() => {
            (Transform::Bucket(number(n).unwrap_or(1)), column)
        }
        ("truncate", [n, column] | [column, n]) if number(n).is_some() => {
            (Transform::Truncate(number(n).unwrap_or(1)), column)
        }
        _ => return Err(refused()),
    };
    match column {
        Expr::Identifier(column) => Ok(PartitionBy { column: normal(column), transform }),
        _ => Err(refused()),
    }
}

/// `DROP …`; `None` for what is no table, view or namespace.
fn drop(parser: &mut Parser<'_>) -> Result<Option<Written>, ParserError> {
    parser.expect_keyword_is(Keyword::DROP)?;
    let what = match parser.next_token().token {
        Token::Word(word) if word.keyword == Keyword::TABLE => Dropped::Table,
        Token::Word(word) if word.keyword == Keyword::VIEW => Dropped::View,
        Token::Word(word) if is_namespace(word.keyword, &word.value) => Dropped::Namespace,
        _ => return Ok(None),
    };
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let name = parser.parse_object_name(false)?;
    end(parser)?;
    Ok(Some(Written::Drop(Drop { what, name, if_exists })))
}

fn is_namespace(keyword: Keyword, word: &str) -> bool {
    matches!(keyword, Keyword::SCHEMA | Keyword::DATABASE) || word.eq_ignore_ascii_case("namespace")
}

fn namespace(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    let name = parser.parse_object_name(false)?;
    Ok(joined(&name))
}

/// The parts of a name as one, folded as SQL folds them.
pub(super) fn joined(name: &ObjectName) -> String {
    name.0.iter().filter_map(|part| part.as_ident()).map(normal).collect::<Vec<_>>().join(".")
}

fn if_not_exists(parser: &mut Parser<'_>) -> bool {
    parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS])
}

/// Takes the next word if it is this one, which the library need not know.
pub(super) fn word(parser: &mut Parser<'_>, wanted: &str) -> bool {
    let is = match &parser.peek_token_ref().token {
        Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted),
        _ => false,
    };
    if is {
        parser.next_token();
    }
    is
}

/// The end of the text, after a `;` or none.
pub(super) fn end(parser: &mut Parser<'_>) -> Result<(), ParserError> {
    while parser.consume_token(&Token::SemiColon) {}
    match parser.peek_token() {
        token if token.token == Token::EOF => Ok(()),
        token => parser.expected("the end of the statement", token),
    }
}

/// A name as SQL folds it.
pub(super) fn normal(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

pub(super) fn wrong(message: String) -> ParserError {
    ParserError::ParserError(message)
}

#[cfg(test)]
mod tests;
