//! `DROP TABLE`, `DROP VIEW`, `DROP NAMESPACE`. Files of a dropped table stay until orphans are removed.

use sluice_catalog::NamespaceDropped;

use super::parse::{Drop, Dropped, joined};
use super::{Attempt, Changed, Context, missing, target};
use crate::error::{Complaint, Error, Result};

pub(super) async fn run(context: &Context<'_>, drop: &Drop) -> Result<Attempt> {
    let lake = context.lake();
    let statement = drop.what.statement();
    if drop.what == Dropped::Namespace {
        let name = joined(&drop.name);
        return match lake.drop_namespace(&name).await? {
            NamespaceDropped::NotEmpty => {
                let complaint = Complaint::new(format!("the namespace `{name}` holds tables or views"));
                Err(Error::Plan(complaint.remedy("drop them first")))
            }
            NamespaceDropped::Missing if !drop.if_exists => {
                let complaint = Complaint::new(format!("there is no namespace `{name}`"));
                Err(Error::NotFound(complaint.remedy("IF EXISTS makes this no error")))
            }
            _ => Ok(Attempt::Done(Changed::nothing(statement, name))),
        };
    }
    let name = target::name(context, &drop.name)?;
    let done = Attempt::Done(Changed::nothing(statement, &name));
    let (what, other) = match drop.what {
        Dropped::View => ("view", lake.find(&name).await?.map(|_| "table")),
        _ => ("table", lake.find_view(&name).await?.map(|_| "view")),
    };
    if let Some(other) = other {
        let complaint = Complaint::new(format!("`{name}` is a {other}, not a {what}"));
        return Err(Error::Plan(complaint.remedy(format!("write DROP {}", other.to_uppercase()))));
    }
    let there = match drop.what {
        Dropped::View => lake.find_view(&name).await?.is_some(),
        _ => lake.find(&name).await?.is_some(),
    };
    if !there {
        return if drop.if_exists { Ok(done) } else { Err(missing(what, &name)) };
    }
    match drop.what {
        Dropped::View => lake.drop_view(&name).await?,
        _ => lake.drop_table(&name).await?,
    }
    Ok(done)
}
