//! What the polling thread and the pipeline say to each other.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender};

use sluice_catalog::OffsetRange;
use tokio::sync::mpsc::UnboundedSender;

use super::raw::RawBatch;
use super::start::Start;
use crate::budget::Reservation;
use crate::error::Error;

/// What the pipeline tells the polling thread.
#[derive(Debug)]
pub(crate) enum Command {
    /// Answer the last assignment: read these partitions from these offsets.
    Start(Vec<Start>),
    /// Answer the last revocation: everything of these partitions is committed or dropped.
    Release(Vec<(usize, i32)>),
    /// An epoch is committed: the next may be sealed; the group learns the offsets for its lag display.
    Committed(Vec<(usize, i32, i64)>),
    /// Read no more of a topic, or read it again.
    Pause { topic: usize, pause: bool },
    /// Read no more; seal what there is.
    Stop,
}

/// What the polling thread tells the pipeline.
#[derive(Debug)]
pub(crate) enum Event {
    /// The group gave these partitions to this worker (topic number, partition).
    Assigned(Vec<(usize, i32)>),
    /// The group takes these partitions away; what was read of them is sealed.
    Revoked { partitions: Vec<(usize, i32)>, lost: bool },
    /// An epoch is complete.
    Sealed(Seal),
    /// After [`Command::Stop`]: the last epoch is sealed.
    Drained,
    /// Reading cannot go on.
    Failed(Error),
}

/// An epoch: everything read between two commits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seal {
    pub(crate) epoch: u64,
    /// Raw batches that belong to it.
    pub(crate) batches: u64,
    /// By topic number.
    pub(crate) messages: BTreeMap<usize, u64>,
    /// Ranges by topic number and partition.
    pub(crate) ranges: BTreeMap<usize, BTreeMap<i32, OffsetRange>>,
}

/// A raw batch with its share of the memory budget.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) raw: RawBatch,
    pub(crate) reservation: Reservation,
}

/// The ends of the channels that the polling thread holds.
pub(crate) struct Ports {
    pub(crate) commands: Receiver<Command>,
    pub(crate) events: UnboundedSender<Event>,
    pub(crate) batches: SyncSender<Parcel>,
}
