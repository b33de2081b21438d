//! The memory budget: how many bytes of messages, batches and open files are held, and when to stop reading.
//!
//! Flow: the polling thread takes a [`Reservation`] for each batch of raw messages; it travels with the batch, is
//! resized when the batch is decoded and given back when the rows are in a file's buffer. Rows that wait for their
//! commit set their part of it aside. What open files hold is set as a whole. Above the high mark reading stops; it
//! goes on below the low mark.
//!
//! The budget counts payload. The other half is for what it does not see: the client of Kafka, the states of
//! tables, what encoders allocate beyond what they say they hold, memory that the allocator keeps for a while, and
//! code. Measured with fifty open files at full speed, 1.7 bytes were resident for each that was counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A shared account of bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    batches: AtomicUsize,
    /// Rows that wait for their commit.
    waiting: AtomicUsize,
    files: AtomicUsize,
    peak: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            batches: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            files: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        })
    }

    /// Bytes held now.
    pub(crate) fn used(&self) -> usize {
        self.batches.load(Relaxed) + self.held()
    }

    /// The most that was ever held.
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Relaxed)
    }

    /// Whether reading has to stop: half of the limit is used.
    pub(crate) fn is_high(&self) -> bool {
        self.used() > self.limit / 2
    }

    /// Whether reading may go on: three eighths of the limit are used.
    pub(crate) fn is_low(&self) -> bool {
        self.used() < self.limit / 8 * 3
    }

    /// Whether files and rows for them alone keep reading stopped, so that only a commit frees memory.
    pub(crate) fn needs_commit(&self) -> bool {
        self.is_high() && self.held() > self.limit / 4
    }

    /// Bytes that only a commit frees.
    fn held(&self) -> usize {
        self.files.load(Relaxed) + self.waiting.load(Relaxed)
    }

    /// Says what open files hold now.
    pub(crate) fn set_files(&self, bytes: usize) {
        self.files.store(bytes, Relaxed);
        self.note_peak();
    }

    /// Takes `bytes` until the reservation is dropped. Never waits: the marks are asked before reading.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Reservation {
        self.batches.fetch_add(bytes, Relaxed);
        self.note_peak();
        Reservation { budget: Arc::clone(self), bytes, waits: false }
    }

    fn note_peak(&self) {
        self.peak.fetch_max(self.used(), Relaxed);
    }
}

/// Bytes taken from a budget; given back on drop.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
    /// For rows that wait for their commit.
    waits: bool,
}

impl Reservation {
    /// The same reservation for data that changed its form.
    pub(crate) fn resize(&mut self, bytes: usize) {
        self.account().fetch_add(bytes, Relaxed);
        self.budget.note_peak(); // Both forms exist for a moment.
        self.account().fetch_sub(self.bytes, Relaxed);
        self.bytes = bytes;
    }

    /// Takes `bytes` out of it, no more than it has, for rows that wait for their commit.
    pub(crate) fn set_aside(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        let aside = Self { budget: Arc::clone(&self.budget), bytes, waits: true };
        aside.account().fetch_add(bytes, Relaxed);
        self.account().fetch_sub(bytes, Relaxed);
        self.bytes -= bytes;
        aside
    }

    fn account(&self) -> &AtomicUsize {
        if self.waits { &self.budget.waiting } else { &self.budget.batches }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account().fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests;
