//! Time travel in text: `FROM t FOR VERSION AS OF 17` becomes `FROM "t$snapshot_17" AS t`.
//!
//! | after the table's name | reads |
//! |---|---|
//! | `[FOR] VERSION AS OF 17` | the snapshot |
//! | `[FOR] VERSION AS OF 'name'` | the branch or tag |
//! | `[FOR] TIMESTAMP AS OF '2026-05-01 12:00:00'` | the last snapshot that is not younger (UTC unless it says) |
//! | `FOR SYSTEM_VERSION AS OF`, `FOR SYSTEM_TIME AS OF` | the same |
//!
//! The parser's dialect does not know these words, so the tokens are rewritten before it sees them. The new
//! name keeps the place of the old one, for messages, and stays valid as a qualifier of columns.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::error::Complaint;
use crate::text::place;

/// Rewrites every version clause.
pub(super) fn rewrite(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Complaint> {
    let solid: Vec<usize> = (0..tokens.len())
        .filter(|at| !matches!(tokens.get(*at).map(|t| &t.token), Some(Token::Whitespace(_))))
        .collect();
    let mut written = Vec::with_capacity(tokens.len());
    // The first token that is not yet written.
    let mut next = 0;
    for at in 0..solid.len() {
        if solid.get(at).is_none_or(|token| *token < next) {
            continue;
        }
        let Some(clause) = Clause::at(&tokens, &solid, at)? else { continue };
        let Some((name, table)) = solid.get(at).and_then(|name| Some((*name, tokens.get(*name)?))) else {
            continue;
        };
        let Token::Word(word) = &table.token else { continue };
        written.extend(tokens.get(next..name).into_iter().flatten().cloned());
        let spelt = if word.quote_style.is_some() { word.value.clone() } else { word.value.to_lowercase() };
        let value = format!("{spelt}${}", clause.version);
        let part = |token: Token| TokenWithSpan { token, span: table.span };
        let named = Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword };
        written.push(part(Token::Word(named)));
        if !clause.has_alias {
            let as_word = Word { value: "AS".to_owned(), quote_style: None, keyword: Keyword::AS };
            let alias = Word { value: spelt, quote_style: Some('"'), keyword: Keyword::NoKeyword };
            written.push(part(Token::Word(as_word)));
            written.push(part(Token::Word(alias)));
        }
        next = clause.end;
    }
    written.extend(tokens.get(next..).into_iter().flatten().cloned());
    Ok(written)
}

/// A version clause behind a name.
struct Clause {
    /// As the name of the table goes on behind `$`.
    version: String,
    /// The first token behind it.
    end: usize,
    has_alias: bool,
}

impl Clause {
    /// The clause behind the solid token `name`, if it is a name with one.
    fn at(tokens: &[TokenWithSpan], solid: &[usize], name: usize) -> Result<Option<Self>, Complaint> {
        let token = |at: usize| solid.get(at).and_then(|at| tokens.get(*at)).map(|token| &token.token);
        let word = |at: usize| match token(at) {
            Some(Token::Word(Word { value, quote_style: None, .. })) => value.to_uppercase(),
            _ => String::new(),
        };
        if !matches!(token(name), Some(Token::Word(_))) {
            return Ok(None);
        }
        let for_word = usize::from(word(name + 1) == "FOR");
        let kind = name + 1 + for_word;
        let by_time = match word(kind).as_str() {
            "VERSION" => false,
            "SYSTEM_VERSION" if for_word == 1 => false,
            "TIMESTAMP" => true,
            "SYSTEM_TIME" if for_word == 1 => true,
            _ => return Ok(None),
        };
        if word(kind + 1) != "AS" || word(kind + 2) != "OF" {
            return Ok(None);
        }
        // A typed literal says TIMESTAMP once more.
        let value = kind + 3 + usize::from(by_time && word(kind + 3) == "TIMESTAMP");
        let version = match (by_time, token(value)) {
            (false, Some(Token::Number(id, _))) => format!("snapshot_{id}"),
            (false, Some(Token::SingleQuotedString(name))) => format!("ref_{name}"),
            (true, Some(Token::SingleQuotedString(time))) => format!("timestamp_{time}"),
            _ if for_word == 0 => return Ok(None),
            _ => {
                let at = solid.get(value).and_then(|at| tokens.get(*at)).map(place);
                let message = "the version of a table must be written out";
                let remedy = "VERSION AS OF takes a snapshot id or the 'name' of a branch or tag, \
                              TIMESTAMP AS OF a time such as '2026-05-01 12:00:00'";
                return Err(Complaint::new(message).remedy(remedy).at(at));
            }
        };
        let has_alias = match token(value + 1) {
            Some(Token::Word(Word { keyword: Keyword::AS, .. })) => true,
            Some(Token::Word(word)) => word.quote_style.is_some() || word.keyword == Keyword::NoKeyword,
            _ => false,
        };
        let end = solid.get(value).map_or(tokens.len(), |at| at + 1);
        Ok(Some(Self { version, end, has_alias }))
    }
}
