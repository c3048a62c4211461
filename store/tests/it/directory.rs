//! Who may open a data directory, and which ones are refused.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use impresario_store::{DIRECTORY_FORMAT, SledEngine, StoreError};

use crate::support::{NOON, bodies, commit, on_sled, put, sled, sled_options};

const DIRECTORY: &str = "IMPRESARIO_TEST_LOCK_DIRECTORY";

fn refused(directory: &Path) -> StoreError {
    SledEngine::open(directory, &sled_options()).err().expect("a refusal")
}

fn with_data() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = on_sled(directory.path());
    let topic = journal.name("t").expect("a name");
    put(&journal, NOON, commit(topic, [b"kept"]));
    journal.close().expect("a close");
    directory
}

/// The second process: says how it was refused.
#[test]
fn child() {
    let Some(directory) = env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let said = match SledEngine::open(&directory, &sled_options()) {
        Ok(_) => "opened".to_owned(),
        Err(StoreError::Locked { pid, .. }) => format!("locked by {pid}"),
        Err(error) => error.to_string(),
    };
    use std::io::Write;
    std::io::stderr().write_all(said.as_bytes()).expect("a pipe");
}

fn second_process(directory: &Path) -> String {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args(["directory::child", "--exact", "--nocapture"]).env(DIRECTORY, directory);
    let output = command.stdout(Stdio::null()).output().expect("a child");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn one_process_at_a_time_holds_a_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = sled(directory.path());
    let own = std::process::id().to_string();
    match refused(directory.path()) {
        StoreError::Locked { pid, directory: named } => {
            assert_eq!(pid, own);
            assert_eq!(named, directory.path().display().to_string());
        }
        other => panic!("{other}"),
    }
    assert_eq!(second_process(directory.path()), format!("locked by {own}"));
    assert!(matches!(impresario_store::compact(directory.path()), Err(StoreError::Locked { .. })));
    drop(engine);
    assert_eq!(second_process(directory.path()), "opened");
    drop(sled(directory.path()));
}

#[test]
fn another_format_is_refused_with_both_numbers() {
    let directory = with_data();
    let file = directory.path().join("impresario.format");
    assert_eq!(fs::read_to_string(&file).expect("a file"), DIRECTORY_FORMAT.to_string());
    fs::write(&file, "7").expect("a write");
    let error = refused(directory.path());
    assert!(matches!(error, StoreError::UnknownFormat { found: 7, known: DIRECTORY_FORMAT, .. }), "{error}");
    assert!(error.to_string().contains("format 7") && error.to_string().contains("up to 1"), "{error}");
    fs::write(&file, "seven").expect("a write");
    assert!(matches!(refused(directory.path()), StoreError::Damaged { .. }));
    fs::write(&file, "1\n").expect("a write");
    assert_eq!(bodies(&on_sled(directory.path())), ["kept"], "a refusal changes nothing");
}

#[test]
fn data_of_no_format_is_refused() {
    let directory = with_data();
    let file = directory.path().join("impresario.format");
    fs::remove_file(&file).expect("a removal");
    assert!(matches!(refused(directory.path()), StoreError::Damaged { .. }));
    assert!(!file.exists(), "nothing is made up");
    // Cut short while the data lay under its other name.
    fs::rename(directory.path().join("sled"), directory.path().join("sled.before")).expect("a rename");
    assert!(matches!(refused(directory.path()), StoreError::Damaged { .. }));
}

/// Measure 2: with a half-written snapshot sled never opens again.
#[test]
fn a_half_written_snapshot_is_removed() {
    let directory = with_data();
    let files = directory.path().join("sled");
    let half = files.join("snap.0000000000000FFF.generating");
    fs::write(&half, b"half").expect("a write");
    let other = files.join("notes.generating");
    fs::write(&other, b"of someone else").expect("a write");
    assert_eq!(bodies(&on_sled(directory.path())), ["kept"]);
    assert!(!half.exists());
    assert!(other.exists());
}

#[test]
fn a_half_written_snapshot_of_a_directory_in_use_stays() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = sled(directory.path());
    let half = directory.path().join("sled/snap.0000000000000FFF.generating");
    fs::write(&half, b"being written").expect("a write");
    assert!(matches!(refused(directory.path()), StoreError::Locked { .. }));
    assert!(half.exists(), "only who holds the lock removes it");
    drop(engine);
}

#[test]
fn a_directory_can_be_opened_again_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    for round in 0..20 {
        let journal = on_sled(directory.path());
        let topic = journal.name("t").expect("a name");
        put(&journal, NOON, commit(topic, [format!("{round}")]));
        assert_eq!(journal.head(), round + 1);
    }
}
