//! Records, types, loading into a lake on disk, the nine files, the replay. One file per stage below.

mod data;
mod infer;
mod olist;
mod records;
mod replay;
mod table;
