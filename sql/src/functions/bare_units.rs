//! `datediff(day, a, b)` becomes `datediff('day', a, b)`: a bare unit is read as a column otherwise.
//!
//! Only the unit's place of these functions is looked at, and only when it is a bare word that names a unit.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Statement, Value, VisitMut, VisitorMut,
};

use super::unit::Unit;

/// Functions with a unit, and the places where it may stand.
const FUNCTIONS: [(&str, &[usize]); 6] = [
    ("date_diff", &[0, 2]),
    ("datediff", &[0, 2]),
    ("timestampdiff", &[0]),
    ("date_add", &[0]),
    ("dateadd", &[0]),
    ("timestampadd", &[0]),
];
/// These the library has, with the unit first.
const TRUNCATE: &str = "date_trunc";

/// Quotes the bare units of a statement.
pub(crate) fn quote(statement: &mut Statement) {
    let ControlFlow::Continue(()) = statement.visit(&mut Quoting);
}

struct Quoting;

impl VisitorMut for Quoting {
    type Break = std::convert::Infallible;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        if let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = expr {
            let name = name.to_string().to_ascii_lowercase();
            let places = if name == TRUNCATE {
                &[0][..]
            } else {
                FUNCTIONS.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, places)| places)
            };
            for place in places {
                if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))) = list.args.get_mut(*place)
                {
                    quote_unit(argument);
                }
            }
        }
        ControlFlow::Continue(())
    }
}

fn quote_unit(argument: &mut Expr) {
    if let Expr::Identifier(word) = argument
        && word.quote_style.is_none()
        && Unit::named(&word.value).is_some()
    {
        let value = Value::SingleQuotedString(std::mem::take(&mut word.value)).with_span(word.span);
        *argument = Expr::Value(value);
    }
}
