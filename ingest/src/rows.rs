//! Raw batches become rows of tables: decoded, routed, and once more when a table had to grow or to be created for
//! them.

use std::borrow::Cow;
use std::sync::Arc;

use crate::decode::Decoder;
use crate::error::{Error, Result};
use crate::evolve::Plans;
use crate::plan::Plan;
use crate::registry::Lookup;
use crate::reject::{self, split_large};
use crate::route::{Routed, Routing, route};
use crate::source::raw::RawBatch;
use crate::topics::Format;
use crate::upsert::Payloads;

/// A batch whose tables still do not fit after having grown this often is left to the next session.
const GROWTHS_MAX: usize = 64;

/// What one decode thread works with.
pub(crate) struct Rows<'a> {
    plans: &'a Plans,
    plan: Arc<Plan>,
    schemas: Option<Arc<Lookup>>,
    decoders: Vec<Decoder>,
    /// By topic; for messages that must be made events first.
    payloads: Vec<Option<Payloads>>,
    /// Larger messages are not decoded.
    bytes_max: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(plans: &'a Plans, schemas: Option<Arc<Lookup>>) -> Result<Self> {
        let plan = plans.current();
        let decoders = plan.topics.iter().map(|topic| Decoder::new(topic, schemas.as_ref()));
        let decoders = decoders.collect::<Result<_>>()?;
        let payloads = plan.topics.iter().map(Payloads::new).collect();
        Ok(Self { plans, plan, schemas, decoders, payloads, bytes_max: usize::MAX })
    }

    /// The same, with a limit on the bytes of a message.
    pub(crate) fn with_limit(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }

    /// The rows of a batch. Blocks while the registry is silent or a table grows.
    pub(crate) fn of(&mut self, raw: &RawBatch) -> Result<Routed> {
        let Some((rest, rejects)) = split_large(raw, self.bytes_max) else { return self.route(raw) };
        let mut routed = if rest.is_empty() { Routed::default() } else { self.route(&rest)? };
        reject::add(&mut routed, &self.plan, raw, rejects).map_err(Error::Columns)?;
        Ok(routed)
    }

    fn route(&mut self, raw: &RawBatch) -> Result<Routed> {
        self.follow()?;
        let flat = match &mut self.payloads[raw.topic] {
            Some(payloads) => payloads.flat(raw).map_err(Error::Columns)?,
            None => Cow::Borrowed(raw),
        };
        for _ in 0..GROWTHS_MAX {
            self.follow()?;
            let decoded = self.decoders[raw.topic].decode(&flat)?;
            match route(&self.plan, raw, decoded).map_err(Error::Columns)? {
                Routing::Done(routed) => return Ok(routed),
                Routing::Grow(wanted) => self.plans.grow(&self.plan, &wanted)?,
                Routing::Make(missing) => self.plans.make(&self.plan, raw.topic, missing)?,
            }
        }
        let topic = &self.plan.topics[raw.topic];
        let table = topic.routes.first().map_or(self.plan.dead_letters, |route| route.table);
        Err(Error::Grow { table: self.plan.tables[table].name.clone() })
    }

    /// Takes up the plan as of now, which may have more topics; a JSON decoder reads the fields that the plan asks
    /// for.
    fn follow(&mut self) -> Result<()> {
        let plan = self.plans.current();
        if Arc::ptr_eq(&plan, &self.plan) {
            return Ok(());
        }
        for ((decoder, topic), known) in self.decoders.iter_mut().zip(&plan.topics).zip(&self.plan.topics) {
            let same = topic.fields == known.fields && topic.others == known.others;
            if topic.format == Format::Json && !same {
                *decoder = Decoder::new(topic, self.schemas.as_ref())?;
            }
        }
        for topic in &plan.topics[self.decoders.len()..] {
            self.decoders.push(Decoder::new(topic, self.schemas.as_ref())?);
            self.payloads.push(Payloads::new(topic));
        }
        self.plan = plan;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
