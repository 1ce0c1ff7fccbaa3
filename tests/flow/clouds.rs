//! A recording in the clouds of two providers: `recipes/archive-on-another-cloud.sh` as it is run,
//! from S3 (moto) to Azure (azurite) and to Google's client in front of a server that speaks S3.

use crate::bucket::{Azurite, BUCKET, Moto, Proxy};
use crate::process::{Ended, run};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The recipe with the settings of each cloud in a file of its own: neither has the other's.
async fn recipe(dir: &Path, clouds: [(&str, &[(String, String)]); 2]) -> Ended {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("recipes/archive-on-another-cloud.sh"));
    for ((url, settings), name) in clouds.into_iter().zip(["FIRST_ENV", "SECOND_ENV"]) {
        let lines = settings.iter().map(|(name, value)| format!("{name}='{value}'\n"));
        let file: PathBuf = dir.join(name);
        std::fs::write(&file, lines.collect::<String>()).expect("written");
        command.arg(url).env(name, file);
    }
    run(command.env("CASTCTL", env!("CARGO_BIN_EXE_castctl")).env("NO_COLOR", "1")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_kept_in_two_clouds_and_watched_out_of_the_second() {
    let dir = tempfile::tempdir().expect("a directory");
    let (moto, azurite) = tokio::join!(Moto::start(), Azurite::start());
    let (amazon, google) = (Proxy::before(moto.addr).await, Proxy::before(moto.addr).await);
    let (s3, az, gs) = (amazon.settings(), azurite.settings(), google.as_google());
    let (first, second) = (format!("s3://{BUCKET}/one"), format!("az://{BUCKET}/two"));
    let ended = recipe(dir.path(), [(&first, &s3), (&second, &az)]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let ok = format!("ok: show/s1/g1 is in {first} and in {second}: 250 packets of video");
    assert!(ended.err.contains(&ok), "{}", ended.err);

    // Another recording of that name is in the second already: nothing is mixed with it.
    let (third, fourth) = (format!("s3://{BUCKET}/three"), format!("gs://{BUCKET}/four"));
    let ended = recipe(dir.path(), [(&third, &s3), (&second, &az)]).await;
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    assert!(ended.err.contains("there is another object of that name"), "{}", ended.err);

    let fifth = format!("s3://{BUCKET}/five");
    let ended = recipe(dir.path(), [(&fifth, &s3), (&fourth, &gs)]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains(&format!("is in {fifth} and in {fourth}")), "{}", ended.err);
    let put = google.acknowledged();
    assert!(put.keys().any(|path| path.ends_with("extent")), "{put:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recipe_of_two_clouds_wants_both() {
    let dir = tempfile::tempdir().expect("a directory");
    let one = format!("file://{}/one", dir.path().display());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("recipes/archive-on-another-cloud.sh"));
    let ended = run(command.arg(one)).await;
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("FIRST SECOND [CLIP]"), "{}", ended.err);
}
