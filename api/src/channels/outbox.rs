//! The `outbox` channel: each message is a file that a person can open.
//!
//! `DIRECTORY/YYYY-MM-DD/m_0123456789abcdef.p_fedcba9876543210.html` for an e-mail, `.txt` for everything else. The
//! day is that on which the message was let through (UTC), so that a second attempt finds what the first has
//! written, also after a crash. No name tells anything of the person but the profile's id.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use impresario_agents::vocabulary::{Channel, Deliver, ProfileId};
use jiff::{Timestamp, tz::TimeZone};
use parking_lot::Mutex;

/// Files of one day at most.
const FILES_OF_DAY_MAX: usize = 200_000;
/// Days kept at most; then it is for an operator to take some away.
const DAYS_MAX: usize = 4_000;

/// Why a message was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutboxError {
    /// There are too many already.
    #[error("the outbox has {0} already")]
    Full(String),
    /// The instant is none.
    #[error("the message was let through at no instant")]
    Instant,
    /// The system's error.
    #[error("could not {what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's error.
        error: io::Error,
    },
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> OutboxError {
    move |error| OutboxError::System { what, error }
}

/// The channel's directory.
#[derive(Clone)]
pub(crate) struct Outbox {
    directory: PathBuf,
    /// The day that was last written to, and how many files it has.
    day: Arc<Mutex<Option<(String, usize)>>>,
}

impl Outbox {
    /// The channel that writes into `directory`, which is made when the first message comes.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, day: Arc::default() }
    }

    /// Writes a message that was let through at `at_ms` beside its place, on disk; none where it is in its place
    /// already.
    ///
    /// # Errors
    /// The outbox is full, or the system's error.
    pub(crate) fn prepare(&self, message: &Deliver, at_ms: i64) -> Result<Option<Prepared>, OutboxError> {
        let at = Timestamp::from_millisecond(at_ms).map_err(|_| OutboxError::Instant)?.to_zoned(TimeZone::UTC);
        let day = at.strftime("%Y-%m-%d").to_string();
        let directory = self.directory.join(&day);
        let path = directory.join(name_of(message));
        // One at a time: the count is exact, and a disk is not faster for two.
        let mut counted = self.day.lock();
        if path.exists() {
            return Ok(None);
        }
        let before = self.room(&day, &directory, &mut counted)?;
        let written = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let text = match message.channel {
            Channel::Email => page(message, &written),
            Channel::Sms | Channel::Push => note(message, &written),
        };
        let beside = write_beside(&path, text.as_bytes())?;
        *counted = Some((day, before + 1));
        Ok(Some(Prepared { directory, beside, path }))
    }

    /// Makes the day's directory; how many files it has.
    fn room(&self, day: &str, directory: &Path, counted: &mut Option<(String, usize)>) -> Result<usize, OutboxError> {
        if let Some((known, files)) = counted.as_ref().filter(|(known, _)| known == day) {
            if *files >= FILES_OF_DAY_MAX {
                return Err(OutboxError::Full(format!("{files} files of {known}")));
            }
            return Ok(*files);
        }
        make_directory(&self.directory)?;
        if !directory.exists() {
            let days = fs::read_dir(&self.directory).map_err(failed("look into the outbox"))?.take(DAYS_MAX).count();
            if days >= DAYS_MAX {
                return Err(OutboxError::Full(format!("{days} days")));
            }
        }
        make_directory(directory)?;
        let files = fs::read_dir(directory).map_err(failed("look into the outbox"))?.count();
        *counted = Some((day.to_owned(), files));
        Ok(files)
    }

    /// Takes away what was written to these people; how many files that were.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn forget(&self, people: &[ProfileId]) -> Result<usize, OutboxError> {
        let marks: Vec<String> = people.iter().map(|person| format!(".{person}.")).collect();
        let days = match fs::read_dir(&self.directory) {
            Ok(days) => days,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(failed("look into the outbox")(error)),
        };
        let mut taken = 0;
        for day in days {
            let day = day.map_err(failed("look into the outbox"))?.path();
            if !day.is_dir() {
                continue;
            }
            for file in fs::read_dir(&day).map_err(failed("look into the outbox"))? {
                let file = file.map_err(failed("look into the outbox"))?;
                let name = file.file_name();
                let is_theirs = name.to_str().is_some_and(|name| marks.iter().any(|mark| name.contains(mark)));
                if is_theirs {
                    fs::remove_file(file.path()).map_err(failed("take a file away"))?;
                    taken += 1;
                }
            }
        }
        Ok(taken)
    }
}

fn make_directory(path: &Path) -> Result<(), OutboxError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(failed("make the outbox's directory"))
}

/// A message on disk that is not out yet; dropped, it never will be.
pub(crate) struct Prepared {
    directory: PathBuf,
    beside: PathBuf,
    path: PathBuf,
}

impl Prepared {
    /// Puts the file in its place: whole, or not at all.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn publish(self) -> Result<PathBuf, OutboxError> {
        fs::rename(&self.beside, &self.path).map_err(failed("put a file in its place"))?;
        let directory = File::open(&self.directory).map_err(failed("open a directory"))?;
        directory.sync_all().map_err(failed("sync a directory"))?;
        Ok(self.path.clone())
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // Gone already where it was published.
        let _ = fs::remove_file(&self.beside);
    }
}

fn write_beside(path: &Path, bytes: &[u8]) -> Result<PathBuf, OutboxError> {
    let beside = path.with_extension("part");
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&beside).map_err(failed("make a file"))?;
    file.write_all(bytes).map_err(failed("write a file"))?;
    file.sync_all().map_err(failed("sync a file"))?;
    Ok(beside)
}

fn name_of(message: &Deliver) -> String {
    let kind = if message.channel == Channel::Email { "html" } else { "txt" };
    format!("{}.{}.{kind}", message.id, message.profile)
}

/// Headers, then the text.
fn note(message: &Deliver, at: &str) -> String {
    let mut note = String::new();
    for (name, value) in headers(message, at) {
        note.push_str(&format!("{name}: {}\n", value.replace(['\r', '\n'], " ")));
    }
    note.push('\n');
    note.push_str(&message.content.text);
    note.push('\n');
    note
}

fn headers<'m>(message: &'m Deliver, at: &'m str) -> Vec<(&'static str, std::borrow::Cow<'m, str>)> {
    let subject = if message.channel == Channel::Email { "Subject" } else { "Title" };
    let mut headers: Vec<(&'static str, std::borrow::Cow<'m, str>)> = vec![
        ("To", message.address.as_ref().into()),
        ("Date", at.into()),
        ("Channel", message.channel.name().into()),
        ("Message", message.id.to_string().into()),
        ("Profile", message.profile.to_string().into()),
    ];
    headers.extend(message.campaign.as_deref().map(|campaign| ("Campaign", campaign.into())));
    headers.extend(
        Some(message.content.subject.as_ref()).filter(|text| !text.is_empty()).map(|text| (subject, text.into())),
    );
    headers
}

/// A page with the headers, the HTML in a frame that can do nothing, and the plain text.
fn page(message: &Deliver, at: &str) -> String {
    let rows: String = headers(message, at)
        .into_iter()
        .map(|(name, value)| format!("<tr><th>{name}</th><td>{}</td></tr>\n", escaped(&value)))
        .collect();
    let frame = match message.content.html.as_ref() {
        "" => String::new(),
        html => format!("<iframe sandbox title=\"HTML\" srcdoc=\"{}\"></iframe>\n", escaped(html)),
    };
    format!(
        "<!doctype html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"script-src 'none'; object-src 'none'; form-action 'none'\">\n\
         <title>{}</title>\n\
         <style>body{{font-family:sans-serif;margin:2em}}th{{text-align:left;padding-right:1em}}\
         iframe{{width:100%;height:40em;border:1px solid #ccc;margin:1em 0}}pre{{white-space:pre-wrap}}</style>\n\
         </head>\n<body>\n<table>\n{rows}</table>\n{frame}<h2>Plain text</h2>\n<pre>{}</pre>\n</body>\n</html>\n",
        escaped(&message.content.subject),
        escaped(&message.content.text),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use impresario_agents::vocabulary::{Content, MessageClass, MessageId};

    use super::*;

    /// 2026-05-04T23:59:00Z
    const LATE_MS: i64 = 1_777_939_140_000;

    fn message(channel: Channel) -> Deliver {
        Deliver {
            id: MessageId(0xab),
            profile: ProfileId(7),
            campaign: Some("spring".into()),
            channel,
            class: MessageClass::Marketing,
            topic: None,
            address: "anna@example.test".into(),
            content: Content {
                subject: "Hi <Anna>".into(),
                text: "10% off & more".into(),
                html: "<p title=\"x\">10%</p>".into(),
            },
        }
    }

    fn put(outbox: &Outbox, message: &Deliver) -> Option<PathBuf> {
        let prepared = outbox.prepare(message, LATE_MS).expect("prepared");
        prepared.map(|prepared| prepared.publish().expect("published"))
    }

    #[test]
    fn a_message_is_one_file_however_often_it_is_tried() {
        let directory = tempfile::tempdir().expect("a directory");
        let outbox = Outbox::new(directory.path().join("outbox"));
        let path = put(&outbox, &message(Channel::Email)).expect("new");
        assert!(path.ends_with("2026-05-04/m_00000000000000ab.p_0000000000000007.html"), "{path:?}");
        let text = fs::read_to_string(&path).expect("a file");
        assert!(text.contains("<td>anna@example.test</td>") && text.contains("<td>Hi &lt;Anna&gt;</td>"), "{text}");
        assert!(text.contains("srcdoc=\"&lt;p title=&quot;x&quot;&gt;10%&lt;/p&gt;\""), "{text}");
        assert!(text.contains("<pre>10% off &amp; more</pre>"), "{text}");
        // Another process, another text: what is there stays.
        fs::write(&path, "first").expect("written");
        let again = Outbox::new(directory.path().join("outbox"));
        assert_eq!(put(&again, &message(Channel::Email)), None);
        assert_eq!(fs::read_to_string(&path).expect("a file"), "first");
        let day = path.parent().expect("a day");
        drop(outbox.prepare(&message(Channel::Push), LATE_MS).expect("prepared"));
        assert_eq!(fs::read_dir(day).expect("a day").count(), 1, "nothing is left beside it, nor of what was stopped");
        let sms = put(&outbox, &message(Channel::Sms)).expect("new");
        let text = fs::read_to_string(sms).expect("a file");
        assert!(text.starts_with("To: anna@example.test\nDate: 2026-05-04T23:59:00Z\n"), "{text}");
        assert!(text.ends_with("\n\n10% off & more\n"), "{text}");
    }

    #[test]
    fn who_is_erased_has_no_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let outbox = Outbox::new(directory.path().join("outbox"));
        assert_eq!(outbox.forget(&[ProfileId(7)]).expect("nothing there"), 0);
        let path = put(&outbox, &message(Channel::Push)).expect("new");
        assert_eq!(outbox.forget(&[ProfileId(8)]).expect("looked"), 0);
        assert!(path.exists());
        assert_eq!(outbox.forget(&[ProfileId(8), ProfileId(7)]).expect("looked"), 1);
        assert!(!path.exists());
    }
}
