//! Stopping: the first Ctrl-C or SIGTERM asks for a graceful end, the second ends the process at once.

use std::io::Write;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::progress::AboveLines;

/// Does one of the parts that run side by side: whatever ends, ends the others too.
pub(crate) async fn ending<T, E>(
    part: impl Future<Output = Result<T, E>>,
    stop: &CancellationToken,
) -> Result<T, E> {
    let _guard = stop.clone().drop_guard();
    part.await
}

/// A token that is cancelled by the first signal.
pub(crate) fn on_signal() -> Result<CancellationToken, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        let mut signals = 0;
        loop {
            let code = tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
            };
            signals += 1;
            if signals > 1 {
                std::process::exit(code);
            }
            let said = "stopping: committing what was read (a second signal ends at once)";
            let _ = writeln!(AboveLines, "{said}"); // Nobody may be listening.
            asked.cancel();
        }
    });
    Ok(stop)
}
