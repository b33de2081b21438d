//! Settings can be shown without giving a secret away.

use std::path::Path;

use super::{LakeSettings, S3Settings, Secret};

#[test]
fn a_secret_is_never_printed() {
    let s3 = S3Settings { secret_access_key: Some(Secret::new("hush-hush")), ..S3Settings::default() };
    let settings = LakeSettings { s3, ..LakeSettings::local(Path::new("/data")) };
    let shown = format!("{settings:?} {settings:#?}");
    assert!(shown.contains("***") && !shown.contains("hush-hush"), "{shown}");
    assert_eq!(settings.s3.secret_access_key.unwrap().reveal(), "hush-hush");
}
