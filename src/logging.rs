//! Logs: structured, on standard error, so that standard output stays for data.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::progress::AboveLines;

/// Starts logging at the level that `-v` asks for; `SLUICE_LOG` (filter directives) and
/// `SLUICE_LOG_FORMAT=json` win over it.
pub(crate) fn start(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => {
            "warn,sluice=info,sluice_catalog=info,sluice_ingest=info,sluice_sql=info,sluice_models=info,sluice_query=info"
        }
        _ => {
            "info,sluice=debug,sluice_catalog=debug,sluice_ingest=debug,sluice_sql=debug,sluice_models=debug,sluice_query=debug"
        }
    };
    let filter = EnvFilter::try_from_env("SLUICE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| AboveLines);
    if std::env::var("SLUICE_LOG_FORMAT").is_ok_and(|format| format == "json") {
        builder.json().init();
    } else {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        builder.with_ansi(colour).init();
    }
}
