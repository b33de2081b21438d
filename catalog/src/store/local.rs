//! A local folder as an object store whose acknowledged objects survive a power cut.
//!
//! The library's local store writes to a temporary file and renames it, but leaves the bytes in the
//! operating system's cache. The catalog's pointer is synced by SQLite; were the files it leads to not,
//! a power cut could keep the pointer and lose the table. So every completed write is synced first: the
//! file, then the folder that holds its name.
//!
//! Until a file is complete the library keeps it under another name, `x.parquet#1`, and never lists it. A process
//! that is killed leaves such files behind. Here they are listed and can be deleted, so that the removal of orphans
//! finds them; they cannot be read or written.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// Files that are deleted at the same time.
const DELETES_AT_ONCE: usize = 8;

/// [`LocalFileSystem`] over the whole machine, with synced writes.
#[derive(Debug)]
pub(crate) struct DurableLocal {
    files: LocalFileSystem,
}

impl DurableLocal {
    /// Paths are absolute paths of the machine without their first slash.
    pub(crate) fn new() -> Self {
        Self { files: LocalFileSystem::new() }
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the local file system")
    }
}

/// Whether the library has not completed the file of that name.
fn is_unfinished(location: &Path) -> bool {
    let number = location.filename().and_then(|name| name.rsplit_once('#')).map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Where a location is on this machine.
fn on_disk(location: &Path) -> PathBuf {
    PathBuf::from(format!("/{location}"))
}

/// Adds the unfinished files of a folder and of those in it.
fn unfinished(folder: &std::path::Path, found: &mut Vec<ObjectMeta>) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(cause),
    };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            unfinished(&entry.path(), found)?;
            continue;
        }
        // A name that is no location is none of the library's files.
        let Some(location) = entry.path().to_str().and_then(|path| Path::parse(path).ok()) else { continue };
        if kind.is_file() && is_unfinished(&location) {
            match entry.metadata() {
                Ok(meta) => {
                    let last_modified = meta.modified()?.into();
                    let (e_tag, version) = (None, None);
                    found.push(ObjectMeta { location, last_modified, size: meta.len(), e_tag, version });
                }
                // It was completed meanwhile.
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
                Err(cause) => return Err(cause),
            }
        }
    }
    Ok(())
}

fn failed(location: &Path, source: std::io::Error) -> object_store::Error {
    let path = location.to_string();
    match source.kind() {
        std::io::ErrorKind::NotFound => object_store::Error::NotFound { path, source: Box::new(source) },
        _ => object_store::Error::Generic { store: "LocalFileSystem", source: Box::new(source) },
    }
}

/// Syncs the file and the folder entry that leads to it.
async fn sync(file: PathBuf) -> Result<()> {
    let synced = tokio::task::spawn_blocking(move || {
        std::fs::File::open(&file)?.sync_all()?;
        match file.parent() {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    });
    let failed = |source: std::io::Error| object_store::Error::Generic {
        store: "LocalFileSystem",
        source: Box::new(source),
    };
    synced.await?.map_err(failed)
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let put = self.files.put_opts(location, payload, opts).await?;
        sync(self.files.path_to_filesystem(location)?).await?;
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.files.put_multipart_opts(location, opts).await?;
        let file = self.files.path_to_filesystem(location)?;
        Ok(Box::new(DurableUpload { upload, file }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let delete = |location: Result<Path>| async move {
            match location {
                Ok(location) if is_unfinished(&location) => {
                    let deleted = tokio::fs::remove_file(on_disk(&location)).await;
                    deleted.map_err(|cause| failed(&location, cause)).map(|()| location)
                }
                Ok(location) => LocalFileSystem::new().delete(&location).await.map(|()| location),
                Err(error) => Err(error),
            }
        };
        locations.map(delete).buffered(DELETES_AT_ONCE).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let finished = self.files.list(prefix);
        // Of the whole machine nobody wants them.
        let Some(prefix) = prefix.cloned() else { return finished };
        let walk = async move {
            let mut found = Vec::new();
            let walked = tokio::task::spawn_blocking(move || {
                let walked = unfinished(&on_disk(&prefix), &mut found);
                walked.map(|()| found).map_err(|cause| failed(&prefix, cause))
            });
            let found = walked.await.map_err(object_store::Error::from).and_then(|found| found);
            stream::iter(match found {
                Ok(found) => found.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        };
        finished.chain(stream::once(walk).flatten()).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await?;
        sync(self.files.path_to_filesystem(to)?).await
    }
}

/// An upload that is complete when it is synced.
#[derive(Debug)]
struct DurableUpload {
    upload: Box<dyn MultipartUpload>,
    file: PathBuf,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let put = self.upload.complete().await?;
        sync(self.file.clone()).await?;
        Ok(put)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
