//! Which route each row takes: by the type of its event, then, where a template names the table, by that name.
//!
//! Each name is made once a batch, however many rows bear it; a template that names its table by the topic alone is
//! asked once. Tables of one template that still look alike share their work: their rows stay together, one table's
//! behind another's, until columns are made of them.

use std::collections::{BTreeSet, HashMap};

use arrow::array::{Array, ArrayRef, AsArray, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use sluice_catalog::TableName;

use super::Share;
use crate::decode::fit;
use crate::plan::{Goal, Known, TemplatePlan, TopicPlan};
use crate::reject::{Cause, Reject};
use crate::source::raw::RawBatch;
use crate::topics::Origin;

/// Names that a template had not met: template number and table.
pub(crate) type Missing = BTreeSet<(usize, TableName)>;

/// Rows that one route can make columns of, for one table or several that look alike.
pub(super) struct Group {
    pub(super) route: usize,
    pub(super) share: Share,
    /// The tables, in the order of the rows, each with how many of them are its own.
    pub(super) tables: Vec<(usize, usize)>,
}

/// The rows by route, and what becomes of the others.
pub(super) fn rows(
    topic: &TopicPlan,
    raw: &RawBatch,
    share: Share,
    rejects: &mut Vec<Reject>,
    missing: &mut Missing,
) -> Result<Vec<Group>, ArrowError> {
    let one = match topic.branches.as_slice() {
        [only] if only.event_types.is_empty() => Some(only.goal),
        _ => None,
    };
    if let Some(Goal::Route(route)) = one {
        return Ok(vec![whole(topic, route, share)]);
    }
    if share.messages.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(Goal::Template(number)) = one
        && topic.templates[number].template.origins().is_empty()
        && let Chosen::Route(route) = Namer::new(topic, number, raw, &share)?.look_up(0, share.messages[0])
    {
        return Ok(vec![whole(topic, route, share)]);
    }
    let goals = match one {
        Some(goal) => vec![Some(goal); share.messages.len()],
        None => by_type(topic, raw, &share, rejects)?,
    };
    let mut rows: Vec<(usize, u32)> = Vec::with_capacity(share.messages.len());
    let mut namers: Vec<Option<Namer<'_>>> = topic.templates.iter().map(|_| None).collect();
    for (row, goal) in goals.into_iter().enumerate() {
        let route = match goal {
            None => continue,
            Some(Goal::Route(route)) => route,
            Some(Goal::Template(number)) => {
                let namer = match &mut namers[number] {
                    Some(namer) => namer,
                    namer => namer.insert(Namer::new(topic, number, raw, &share)?),
                };
                match namer.choose(row, share.messages[row]) {
                    Chosen::Route(route) => *route,
                    Chosen::Refused(text) => {
                        rejects.push(Reject::new(share.messages[row], Cause::Unroutable, text.as_str()));
                        continue;
                    }
                    Chosen::Missing => continue,
                }
            }
        };
        rows.push((route, row as u32));
    }
    for (number, namer) in namers.iter_mut().enumerate() {
        let lacking = namer.as_mut().map(|namer| std::mem::take(&mut namer.missing)).unwrap_or_default();
        missing.extend(lacking.into_iter().map(|table| (number, table)));
    }
    drop(namers);
    group(topic, &share, &rows)
}

/// All rows for one route.
fn whole(topic: &TopicPlan, route: usize, share: Share) -> Group {
    let tables = vec![(topic.routes[route].table, share.messages.len())];
    Group { route, share, tables }
}

/// Puts the rows of routes that look alike together; `rows` are routes with their rows, in the order of the rows.
fn group(topic: &TopicPlan, share: &Share, rows: &[(usize, u32)]) -> Result<Vec<Group>, ArrowError> {
    let kind = |route: usize| topic.routes[route].alike.map_or((0, route), |template| (1, template));
    let mut counts = vec![0; topic.routes.len()];
    for (route, _) in rows {
        counts[*route] += 1;
    }
    let mut routes: Vec<usize> = (0..counts.len()).filter(|route| counts[*route] > 0).collect();
    routes.sort_by_key(|route| kind(*route));
    // Rows are counted into their places: there are many more of them than routes.
    let (mut places, mut end) = (vec![0; counts.len()], 0);
    for route in &routes {
        places[*route] = end;
        end += counts[*route];
    }
    let mut ordered = vec![0; rows.len()];
    for (route, row) in rows {
        ordered[places[*route]] = *row;
        places[*route] += 1;
    }
    let mut rest = ordered.into_iter();
    let groups = routes.chunk_by(|one, next| kind(*one) == kind(*next)).map(|routes| {
        let tables: Vec<_> =
            routes.iter().map(|route| (topic.routes[*route].table, counts[*route])).collect();
        let count = tables.iter().map(|(_, rows)| rows).sum();
        let share = part(share, rest.by_ref().take(count).collect())?;
        Ok(Group { route: routes[0], share, tables })
    });
    groups.collect()
}

fn part(share: &Share, rows: Vec<u32>) -> Result<Share, ArrowError> {
    if rows.len() == share.messages.len() && rows.is_sorted() {
        return Ok(Share { batch: share.batch.clone(), messages: share.messages.clone() });
    }
    let messages = rows.iter().map(|row| share.messages[*row as usize]).collect();
    Ok(Share { batch: take_record_batch(&share.batch, &UInt32Array::from(rows))?, messages })
}

/// The goal of each row by the type of its event; `None` for dead letters.
fn by_type(
    topic: &TopicPlan,
    raw: &RawBatch,
    share: &Share,
    rejects: &mut Vec<Reject>,
) -> Result<Vec<Option<Goal>>, ArrowError> {
    let types = types(topic, raw, share)?;
    let rest = topic.branches.iter().find(|branch| branch.event_types.is_empty()).map(|rest| rest.goal);
    let mut named: HashMap<&str, Goal> = HashMap::new();
    for branch in &topic.branches {
        named.extend(branch.event_types.iter().map(|name| (name.as_str(), branch.goal)));
    }
    let goals = types.iter().zip(&share.messages).map(|(event_type, message)| {
        let goal = event_type.and_then(|name| named.get(name).copied()).or(rest);
        match (goal, event_type) {
            (Some(_), _) => {}
            (None, Some(name)) => rejects.push(Reject::new(
                *message,
                Cause::UnknownEventType,
                format!("no route of `{}` takes the event type `{name}`", topic.name),
            )),
            (None, None) => rejects.push(Reject::new(
                *message,
                match topic.type_from {
                    Origin::Field(_) => Cause::MissingField,
                    Origin::Header(_) => Cause::Unroutable,
                },
                format!("{}, which chooses the table, is missing or null", topic.type_from),
            )),
        }
        goal
    });
    Ok(goals.collect())
}

/// The event type of each row; null where it is missing or no text.
pub(super) fn types(topic: &TopicPlan, raw: &RawBatch, share: &Share) -> Result<StringArray, ArrowError> {
    let values = Values::new(&topic.type_from, topic, share)?;
    Ok(share.messages.iter().enumerate().map(|(row, message)| values.get(raw, row, *message)).collect())
}

/// What an origin says, row by row.
enum Values {
    Texts(StringArray),
    Header(usize),
    Nothing,
}

impl Values {
    fn new(origin: &Origin, topic: &TopicPlan, share: &Share) -> Result<Self, ArrowError> {
        Ok(match origin {
            Origin::Header(name) => match topic.headers.iter().position(|header| header == name) {
                Some(header) => Self::Header(header),
                None => Self::Nothing,
            },
            Origin::Field(name) => match share.batch.column_by_name(name) {
                Some(column) => Self::Texts(texts(column)?),
                None => Self::Nothing,
            },
        })
    }

    fn get<'a>(&'a self, raw: &'a RawBatch, row: usize, message: u32) -> Option<&'a str> {
        match self {
            Self::Texts(texts) => texts.is_valid(row).then(|| texts.value(row)),
            Self::Header(header) => std::str::from_utf8(raw.header(*header, message as usize)?).ok(),
            Self::Nothing => None,
        }
    }
}

/// A column as text; null where a value has none.
fn texts(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let (texts, misfits) = fit::column(column, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    if misfits.is_empty() {
        return Ok(texts.clone());
    }
    let odd: BTreeSet<u32> = misfits.into_iter().map(|(row, _)| row).collect();
    Ok((0..).zip(texts).map(|(row, text)| text.filter(|_| !odd.contains(&row))).collect())
}

enum Chosen {
    Route(usize),
    Refused(String),
    /// The name is among those that the namer found missing.
    Missing,
}

/// Names of one template in one batch.
struct Namer<'a> {
    topic: &'a TopicPlan,
    template: &'a TemplatePlan,
    raw: &'a RawBatch,
    values: Vec<(&'a Origin, Values)>,
    /// What became of each combination of values, and a place to put the next one together.
    chosen: HashMap<Vec<u8>, Chosen>,
    key: Vec<u8>,
    missing: Vec<TableName>,
}

impl<'a> Namer<'a> {
    fn new(
        topic: &'a TopicPlan,
        number: usize,
        raw: &'a RawBatch,
        share: &Share,
    ) -> Result<Self, ArrowError> {
        let template = &topic.templates[number];
        let origins = template.template.origins().into_iter();
        let values = origins.map(|origin| Ok((origin, Values::new(origin, topic, share)?)));
        let values = values.collect::<Result<_, ArrowError>>()?;
        Ok(Self {
            topic,
            template,
            raw,
            values,
            chosen: HashMap::new(),
            key: Vec::new(),
            missing: Vec::new(),
        })
    }

    fn choose(&mut self, row: usize, message: u32) -> &Chosen {
        self.key.clear();
        for (_, values) in &self.values {
            // A value may hold any byte: its length tells where it ends.
            let value = values.get(self.raw, row, message);
            self.key.extend(value.map_or(usize::MAX, str::len).to_ne_bytes());
            self.key.extend_from_slice(value.unwrap_or_default().as_bytes());
        }
        if !self.chosen.contains_key(&self.key) {
            let chosen = self.look_up(row, message);
            self.chosen.insert(self.key.clone(), chosen);
        }
        &self.chosen[&self.key]
    }

    fn look_up(&mut self, row: usize, message: u32) -> Chosen {
        let value = |wanted: &Origin| {
            let (_, values) = self.values.iter().find(|(origin, _)| *origin == wanted)?;
            values.get(self.raw, row, message)
        };
        let name = match self.template.template.table(&self.topic.name, value) {
            Ok(name) => name,
            Err(fact) => return Chosen::Refused(fact),
        };
        match (self.template.known.get(&name), &self.template.full) {
            (Some(Known::Route(route)), _) => Chosen::Route(*route),
            (Some(Known::Refused(fact)), _) => Chosen::Refused(fact.clone()),
            (None, Some(full)) if !full.contains(&name) => Chosen::Refused(format!(
                "`{name}` would be one more than the {} tables that `{}` may make",
                self.template.tables_max, self.template.template
            )),
            (None, _) => {
                self.missing.push(name);
                Chosen::Missing
            }
        }
    }
}
