//! What `sluice profile` and `sluice compare` look at: a table of the lake, or a file.
//!
//! A file is loaded into a lake of its own in a temporary folder, which is gone afterwards: so it is read, typed and
//! rejected exactly as `sluice load` would, and looked at by the same statements as a table.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluice_catalog::{Lake, LakeSettings, TableName};
use sluice_ingest::load::{self, Format, LoadSettings, What};
use sluice_sql::quality::Subject;
use tempfile::TempDir;

use crate::config::Config;
use crate::failure::Failure;
use crate::{edge, output, parts};

/// A subject, and the folder that has to outlive it.
pub(crate) struct Opened {
    pub(crate) subject: Subject,
    _scratch: Option<TempDir>,
}

/// The table or file of this name. A name of a table has no `/`, and no file of that name lies here.
pub(crate) async fn open(name: &str, config: &Config) -> Result<Opened, Failure> {
    let path = Path::new(name);
    if path.exists() || name.contains('/') {
        return file(path, config).await;
    }
    let table: TableName = name.parse().map_err(|_| {
        Failure::usage(format!("there is no file `{name}`, and no table can be called so"))
            .hint("name a table as NAMESPACE.TABLE, or a file")
    })?;
    let lake = parts::lake(config).await?;
    let snapshot = lake.load(&table).await?;
    let session = parts::engine_over(lake, config)?.session();
    Ok(Opened { subject: Subject::new(&session, snapshot, name), _scratch: None })
}

async fn file(path: &Path, config: &Config) -> Result<Opened, Failure> {
    let scratch = tempfile::Builder::new().prefix("sluice-").tempdir()?;
    let lake = Lake::open(LakeSettings::local(scratch.path())).await?;
    let table = TableName::new("bronze", "file")?;
    let settings = LoadSettings {
        table: Some(table.clone()),
        ..LoadSettings::new(What::Files(format(path)), vec![PathBuf::from(path)])
    };
    let report = load::load(&lake, settings, edge::now(), &Arc::default()).await?;
    if report.rejected > 0 {
        eprintln!(
            "{}: {} records are no rows and are left out",
            path.display(),
            output::grouped(report.rejected)
        );
    }
    let snapshot = lake.load(&table).await?;
    let session = parts::engine_over(lake, config)?.session();
    let subject = Subject::new(&session, snapshot, path.display().to_string());
    Ok(Opened { subject, _scratch: Some(scratch) })
}

/// The format by the ending of the name, before that of a compression; CSV unless it says otherwise.
fn format(path: &Path) -> Format {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.trim_end_matches(".gz").trim_end_matches(".zst").trim_end_matches(".zip");
    match name.rsplit('.').next() {
        Some("ndjson" | "jsonl" | "json") => Format::Ndjson,
        Some("parquet") => Format::Parquet,
        Some("tsv") => Format::Csv { delimiter: b'\t' },
        _ => Format::Csv { delimiter: b',' },
    }
}

/// Writes a page, and says where.
pub(crate) fn write_page(file: Option<&Path>, page: impl FnOnce() -> String) -> Result<(), Failure> {
    if let Some(file) = file {
        std::fs::write(file, page())
            .map_err(|error| Failure::new(format!("cannot write `{}`: {error}", file.display())))?;
        eprintln!("wrote {}", file.display());
    }
    Ok(())
}
