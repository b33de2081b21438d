//! Records, types, formats, loading into a lake on disk, resuming, hostile input, the replay.

mod data;
mod formats;
mod hostile;
mod infer;
mod olist;
mod records;
mod replay;
mod resume;
mod table;
