//! Landing by settings that may become others while topics pause.
//!
//! ```text
//! settings -> run --- topics pause --> settings again, every two seconds
//!              ^                           | others: the run is stopped, and commits what it read
//!              +---------------------------+
//! ```
//!
//! A topic whose messages are bad waits for a corrected topics file or a raised limit: who changes one need not
//! restart the process. Without a pause nothing is asked, so that a half-written file disturbs nobody.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_catalog::Lake;
use tokio_util::sync::CancellationToken;

use super::{IngestSettings, Report, run};
use crate::error::Error;
use crate::progress::Progress;

/// How often the settings are looked at while topics pause.
const LOOK: Duration = Duration::from_secs(2);

/// Lands as [`run`] does, by settings that are asked for at the start and, while topics pause for their dead letters,
/// every two seconds: when the topics or the limits became others, landing goes on by them.
///
/// # Errors
/// As [`run`], and what `settings` says at the start. What it says later is logged, and it is asked again.
pub async fn run_with_settings<E: From<Error> + Display>(
    lake: Lake,
    mut settings: impl FnMut() -> Result<IngestSettings, E>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<Report, E> {
    let began = Instant::now();
    let mut current = settings()?;
    loop {
        let (enough, ended) = (stop.child_token(), CancellationToken::new());
        let landing = async {
            let report = run(lake.clone(), current.clone(), Arc::clone(&progress), enough.clone()).await;
            ended.cancel();
            report
        };
        let changed = async {
            let new = tokio::select! {
                new = change(&mut settings, &current, &progress) => Some(new),
                () = ended.cancelled() => None,
            };
            enough.cancel();
            new
        };
        let (landed, new) = tokio::join!(landing, changed);
        landed?;
        match new.filter(|_| !stop.is_cancelled()) {
            Some(new) => current = new,
            None => return Ok(Report::of(&progress, began)),
        }
        tracing::warn!("the topics file or the limits changed; landing goes on by them");
        progress.add_restart();
    }
}

/// Returns the settings once they are others in what decides about dead letters.
async fn change<E: Display>(
    settings: &mut impl FnMut() -> Result<IngestSettings, E>,
    current: &IngestSettings,
    progress: &Progress,
) -> IngestSettings {
    let mut told = String::new();
    loop {
        tokio::time::sleep(LOOK).await;
        if progress.topics().values().all(|topic| topic.paused.is_none()) {
            continue;
        }
        match settings() {
            Ok(new) if differ(&new, current) => return new,
            Ok(_) => told.clear(),
            Err(error) => {
                let error = error.to_string();
                if error != told {
                    tracing::warn!("the settings cannot be read, so they stay as they are: {error}");
                    told = error;
                }
            }
        }
    }
}

/// Whether the settings differ in what decides about dead letters.
fn differ(new: &IngestSettings, old: &IngestSettings) -> bool {
    new.dead_letter_limit != old.dead_letter_limit
        || new.max_message_bytes != old.max_message_bytes
        // Topics are plain data, and this is rare: their text tells whether they are the same.
        || format!("{:?}", new.topics) != format!("{:?}", old.topics)
}
