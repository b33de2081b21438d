//! `ALTER TABLE`, as Spark writes it for Iceberg: columns, partition fields, sort order, properties, branches, tags.

use datafusion::sql::sqlparser::ast::{ColumnDef, DataType, ObjectName};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;
use sluice_catalog::{PartitionBy, Position, RefChange, SortBy};

use super::{Written, end, normal, partition_field, properties, word, wrong};

/// `ALTER TABLE name …`.
#[derive(Debug)]
pub(in crate::write) struct Alter {
    pub(in crate::write) name: ObjectName,
    pub(in crate::write) steps: Vec<Step>,
}

/// One change of a table. Columns are paths: struct fields are named behind a dot.
#[derive(Debug)]
pub(in crate::write) enum Step {
    Add {
        column: Vec<String>,
        define: Box<ColumnDef>,
        position: Position,
    },
    Drop {
        column: Vec<String>,
    },
    Rename {
        column: Vec<String>,
        to: String,
    },
    Widen {
        column: Vec<String>,
        to: Box<DataType>,
    },
    MakeOptional {
        column: Vec<String>,
    },
    Move {
        column: Vec<String>,
        position: Position,
    },
    AddPartition(PartitionBy),
    DropPartition(PartitionBy),
    Order(Vec<SortBy>),
    RenameTable {
        to: ObjectName,
    },
    Set {
        key: String,
        value: String,
    },
    Unset {
        key: String,
    },
    /// `keep` says that a name that is taken, or not there, is no error.
    Refer {
        change: RefChange,
        keep: bool,
    },
}

/// `None` for `ALTER` of something else.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<Written>, ParserError> {
    parser.expect_keyword_is(Keyword::ALTER)?;
    if !parser.parse_keyword(Keyword::TABLE) {
        return Ok(None);
    }
    let name = parser.parse_object_name(false)?;
    let steps = steps(parser)?;
    end(parser)?;
    Ok(Some(Written::Alter(Box::new(Alter { name, steps }))))
}

fn steps(parser: &mut Parser<'_>) -> Result<Vec<Step>, ParserError> {
    let step = if word(parser, "ADD") {
        if partition_words(parser) {
            Step::AddPartition(partition_field(parser)?)
        } else {
            return added(parser);
        }
    } else if word(parser, "DROP") {
        dropped(parser)?
    } else if word(parser, "REPLACE") {
        if partition_words(parser) {
            let old = partition_field(parser)?;
            parser.expect_keyword_is(Keyword::WITH)?;
            return Ok(vec![Step::DropPartition(old), Step::AddPartition(partition_field(parser)?)]);
        }
        referred(parser, true)?
    } else if word(parser, "RENAME") {
        if word(parser, "TO") {
            Step::RenameTable { to: parser.parse_object_name(false)? }
        } else {
            let _ = word(parser, "COLUMN");
            let column = path(parser)?;
            parser.expect_keyword_is(Keyword::TO)?;
            Step::Rename { column, to: normal(&parser.parse_identifier()?) }
        }
    } else if word(parser, "ALTER") || word(parser, "CHANGE") {
        let _ = word(parser, "COLUMN");
        altered(parser)?
    } else if word(parser, "WRITE") {
        Step::Order(order(parser)?)
    } else if word(parser, "SET") {
        expect(parser, "TBLPROPERTIES")?;
        let pairs = properties(parser)?;
        return Ok(pairs.into_iter().map(|(key, value)| Step::Set { key, value }).collect());
    } else if word(parser, "UNSET") {
        expect(parser, "TBLPROPERTIES")?;
        let _ = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
        parser.expect_token(&Token::LParen)?;
        let keys = parser.parse_comma_separated(Parser::parse_literal_string)?;
        parser.expect_token(&Token::RParen)?;
        return Ok(keys.into_iter().map(|key| Step::Unset { key }).collect());
    } else if word(parser, "CREATE") {
        let replace = parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]);
        referred(parser, replace)?
    } else {
        let found = parser.peek_token();
        return parser.expected("ADD, DROP, RENAME, ALTER, REPLACE, WRITE, SET, UNSET or CREATE", found);
    };
    Ok(vec![step])
}

fn added(parser: &mut Parser<'_>) -> Result<Vec<Step>, ParserError> {
    let _ = word(parser, "COLUMN") || word(parser, "COLUMNS");
    let several = parser.consume_token(&Token::LParen);
    let steps = if several { parser.parse_comma_separated(one)? } else { vec![one(parser)?] };
    if several {
        parser.expect_token(&Token::RParen)?;
    }
    Ok(steps)
}

/// A path and what it shall be; the last part of the path is the new column.
fn one(parser: &mut Parser<'_>) -> Result<Step, ParserError> {
    let mut column = path(parser)?;
    let last = column.pop().unwrap_or_default();
    let data_type = parser.parse_data_type()?;
    let mut define = ColumnDef {
        name: datafusion::sql::sqlparser::ast::Ident::with_quote('"', last.clone()),
        data_type,
        options: Vec::new(),
    };
    if parser.parse_keyword(Keyword::COMMENT) {
        let doc = parser.parse_literal_string()?;
        define.options.push(datafusion::sql::sqlparser::ast::ColumnOptionDef {
            name: None,
            option: datafusion::sql::sqlparser::ast::ColumnOption::Comment(doc),
        });
    }
    column.push(last);
    let position = position(parser)?.unwrap_or_default();
    Ok(Step::Add { column, define: Box::new(define), position })
}

fn dropped(parser: &mut Parser<'_>) -> Result<Step, ParserError> {
    if partition_words(parser) {
        return Ok(Step::DropPartition(partition_field(parser)?));
    }
    if word(parser, "BRANCH") || word(parser, "TAG") {
        let keep = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
        let change = RefChange::Drop { name: normal(&parser.parse_identifier()?) };
        return Ok(Step::Refer { change, keep });
    }
    let _ = word(parser, "COLUMN");
    Ok(Step::Drop { column: path(parser)? })
}

fn altered(parser: &mut Parser<'_>) -> Result<Step, ParserError> {
    let column = path(parser)?;
    if word(parser, "TYPE") || parser.parse_keywords(&[Keyword::SET, Keyword::DATA, Keyword::TYPE]) {
        return Ok(Step::Widen { column, to: Box::new(parser.parse_data_type()?) });
    }
    if parser.parse_keywords(&[Keyword::DROP, Keyword::NOT, Keyword::NULL]) {
        return Ok(Step::MakeOptional { column });
    }
    match position(parser)? {
        Some(position) => Ok(Step::Move { column, position }),
        None => Err(wrong("write TYPE …, DROP NOT NULL, FIRST or AFTER … behind the column".to_owned())),
    }
}

/// `[LOCALLY] ORDERED BY a DESC NULLS LAST, day(b)` or `UNORDERED`, behind WRITE. As in Spark, nulls come first where
/// the order ascends.
fn order(parser: &mut Parser<'_>) -> Result<Vec<SortBy>, ParserError> {
    if word(parser, "UNORDERED") {
        return Ok(Vec::new());
    }
    let _ = word(parser, "LOCALLY");
    expect(parser, "ORDERED")?;
    parser.expect_keyword_is(Keyword::BY)?;
    let several = parser.consume_token(&Token::LParen);
    let terms = parser.parse_comma_separated(|parser| {
        let by = partition_field(parser)?;
        let descends = word(parser, "DESC");
        let _ = !descends && word(parser, "ASC");
        let nulls_first = match word(parser, "NULLS") {
            true if word(parser, "FIRST") => true,
            true => {
                expect(parser, "LAST")?;
                false
            }
            false => !descends,
        };
        Ok(SortBy { by, descends, nulls_first })
    })?;
    if several {
        parser.expect_token(&Token::RParen)?;
    }
    Ok(terms)
}

/// `BRANCH b [AS OF VERSION n]` or `TAG t [AS OF VERSION n]`, behind CREATE or REPLACE.
fn referred(parser: &mut Parser<'_>, replace: bool) -> Result<Step, ParserError> {
    let branch = word(parser, "BRANCH");
    if !branch {
        expect(parser, "TAG")?;
    }
    let keep = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = normal(&parser.parse_identifier()?);
    let snapshot = match parser.parse_keywords(&[Keyword::AS, Keyword::OF]) {
        true => {
            expect(parser, "VERSION")?;
            Some(number(parser)?)
        }
        false => None,
    };
    if word(parser, "RETAIN") || parser.parse_keyword(Keyword::WITH) {
        return Err(wrong(
            "RETAIN … is not possible here: expiry keeps what a branch or tag names".to_owned(),
        ));
    }
    let change = match (branch, replace, snapshot) {
        (true, false, snapshot) => RefChange::CreateBranch { name, snapshot },
        (false, false, snapshot) => RefChange::CreateTag { name, snapshot },
        (true, true, Some(snapshot)) => RefChange::SetBranch { name, snapshot },
        (true, true, None) => return Err(wrong("REPLACE BRANCH needs AS OF VERSION …".to_owned())),
        (false, true, _) => return Err(wrong("a tag does not move: drop it and create it anew".to_owned())),
    };
    Ok(Step::Refer { change, keep })
}

fn number(parser: &mut Parser<'_>) -> Result<i64, ParserError> {
    let token = parser.next_token();
    match &token.token {
        Token::Number(digits, _) => match digits.parse() {
            Ok(number) => Ok(number),
            Err(_) => parser.expected("the id of a snapshot", token),
        },
        _ => parser.expected("the id of a snapshot", token),
    }
}

fn position(parser: &mut Parser<'_>) -> Result<Option<Position>, ParserError> {
    if word(parser, "FIRST") {
        return Ok(Some(Position::First));
    }
    if word(parser, "AFTER") {
        return Ok(Some(Position::After(normal(&parser.parse_identifier()?))));
    }
    Ok(None)
}

fn path(parser: &mut Parser<'_>) -> Result<Vec<String>, ParserError> {
    let name = parser.parse_object_name(false)?;
    Ok(name.0.iter().filter_map(|part| part.as_ident()).map(normal).collect())
}

fn partition_words(parser: &mut Parser<'_>) -> bool {
    parser.parse_keyword(Keyword::PARTITION) && word(parser, "FIELD")
}

fn expect(parser: &mut Parser<'_>, wanted: &str) -> Result<(), ParserError> {
    match word(parser, wanted) {
        true => Ok(()),
        false => parser.expected(wanted, parser.peek_token()),
    }
}
