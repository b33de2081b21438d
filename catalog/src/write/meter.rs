//! What the open files of a writer hold in memory and have encoded, readable while they work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What all files of a writer hold and have encoded, readable at any time.
#[derive(Debug, Default)]
pub(super) struct Meter {
    buffered: AtomicUsize,
    written: AtomicU64,
}

impl Meter {
    pub(super) fn buffered(&self) -> usize {
        self.buffered.load(Ordering::Relaxed)
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn add_written(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// One file's part of a meter; gone from it when dropped.
#[derive(Debug)]
pub(super) struct Share {
    meter: Arc<Meter>,
    bytes: AtomicUsize,
}

impl Share {
    pub(super) fn new(meter: Arc<Meter>) -> Self {
        Self { meter, bytes: AtomicUsize::new(0) }
    }

    pub(super) fn set(&self, bytes: usize) {
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        self.meter.buffered.fetch_add(bytes, Ordering::Relaxed);
        self.meter.buffered.fetch_sub(before, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}
