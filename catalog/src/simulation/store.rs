//! A store in memory that is slow, fails before and after the effect, and cuts answers short.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::dice::{Dice, Fault};

#[derive(Debug)]
pub(super) struct FaultyStore {
    objects: InMemory,
    dice: Arc<Dice>,
}

impl FaultyStore {
    pub(super) fn new(dice: Arc<Dice>) -> Self {
        Self { objects: InMemory::new(), dice }
    }

    async fn meet(&self, read: bool) -> Option<Fault> {
        tokio::time::sleep(self.dice.delay()).await;
        self.dice.of_store(read)
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store that fails on purpose")
    }
}

fn failed() -> Error {
    Error::Generic { store: "simulation", source: "connection reset".into() }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        match self.meet(false).await {
            None => self.objects.put_opts(location, payload, opts).await,
            Some(Fault::After) => {
                self.objects.put_opts(location, payload, opts).await?;
                Err(failed())
            }
            Some(_) => Err(failed()),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.meet(true).await {
            None => self.objects.get_opts(location, options).await,
            Some(Fault::Short) => {
                let whole = self.objects.get_opts(location, options).await?;
                let (meta, range, attributes) =
                    (whole.meta.clone(), whole.range.clone(), whole.attributes.clone());
                let bytes = whole.bytes().await?;
                let cut = stream::iter([Ok::<Bytes, Error>(bytes.slice(..bytes.len() / 2)), Err(failed())]);
                Ok(GetResult { payload: GetResultPayload::Stream(cut.boxed()), meta, range, attributes })
            }
            Some(_) => Err(failed()),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
