//! From what was asked for to one job for each table: which parts go where, and with which types.

use chrono::{DateTime, Utc};
use sluice_catalog::TableName;

use super::csv::column_name;
use super::part::{self, Part};
use super::table::Job;
use super::{DataSet, Error, Format, LoadSettings, Result, What};

/// The jobs of a load, in the order of their first parts.
pub(super) fn jobs(settings: &LoadSettings, now: DateTime<Utc>) -> Result<Vec<Job>> {
    let mut jobs: Vec<Job> = Vec::new();
    let (again, commit_bytes) = (settings.again, settings.commit_bytes.max(1));
    let mut add =
        |table: TableName, part: Part, format, declared| match jobs.iter_mut().find(|job| job.table == table)
        {
            Some(job) => job.parts.push(part),
            None => jobs.push(Job { table, parts: vec![part], format, declared, again, commit_bytes, now }),
        };
    match settings.what {
        What::Files(format) => {
            for part in files(settings, format)? {
                let table = settings.table.clone().map_or_else(|| own_table(&part), Ok)?;
                add(table, part, format, None);
            }
        }
        What::Set(set) => {
            let found = set.find(&settings.inputs)?;
            check_one_table(set, settings, found.iter().map(|(file, _)| file.stem))?;
            for (file, part) in found {
                let table = settings.table.clone().map_or_else(|| file.table(), Ok)?;
                add(table, part, Format::Csv { delimiter: b',' }, Some(file.columns()));
            }
        }
    }
    Ok(jobs)
}

/// The files of a format; of an archive, the members that are called as such files are.
fn files(settings: &LoadSettings, format: Format) -> Result<Vec<Part>> {
    let endings: &[&str] = match format {
        Format::Csv { .. } => &["csv", "tsv", "txt"],
        Format::Ndjson => &["ndjson", "jsonl", "json"],
        Format::Parquet => &["parquet"],
    };
    let mut parts = part::find(&settings.inputs)?;
    parts.retain(|part| {
        let ending = part.label.rsplit('.').next().unwrap_or_default().to_lowercase();
        part.member.is_none() || endings.contains(&ending.as_str())
    });
    match (parts.is_empty(), settings.inputs.first()) {
        (true, Some(input)) => Err(Error::Input {
            path: input.clone(),
            fact: format!("there is no file of this kind in it (.{})", endings.join(", .")),
            remedy: "unpack it, and load the files with the command for their format",
        }),
        _ => Ok(parts),
    }
}

/// `bronze.<name of the file>`.
fn own_table(part: &Part) -> Result<TableName> {
    TableName::new("bronze", column_name(part.stem()))
        .map_err(|_| part.unfit("its name makes no name of a table", "name the table with --table"))
}

/// A data set has many tables: one name for them is only right when one of its files is loaded.
fn check_one_table<'a>(
    set: DataSet,
    settings: &LoadSettings,
    mut stems: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let (Some(_), Some(first)) = (&settings.table, stems.next()) else { return Ok(()) };
    let columns = |stem: &str| set.files().iter().find(|file| file.stem == stem).map(|file| file.columns());
    if stems.all(|stem| columns(stem) == columns(first)) {
        return Ok(());
    }
    Err(Error::Input {
        path: settings.inputs.first().cloned().unwrap_or_default(),
        fact: "these are files of several tables".to_owned(),
        remedy: "leave out --table, or name one file",
    })
}
