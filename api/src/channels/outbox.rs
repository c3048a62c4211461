//! The `outbox` channel: each message becomes a file that a person can open, in `outbox/YYYY-MM-DD/`.
//!
//! A file's name is the message's id, so that the same message carried twice is one file, and tells nothing of
//! whom it is for. A file is there whole or not at all: it is written under another name first.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use impresario_agents::vocabulary::{Channel, Deliver, Delivered};
use impresario_runtime::EffectError;
use jiff::{Timestamp, tz::TimeZone};

/// The largest message that is written, in bytes.
const FILE_BYTES_MAX: usize = 2 << 20;

/// Writes messages into files.
pub(crate) struct Outbox {
    folder: PathBuf,
}

impl Outbox {
    /// In this folder, which is made when the first message comes.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Writes a message that is sent at `now_ms`.
    ///
    /// # Errors
    /// The file can't be written now: it is tried again.
    pub(crate) fn carry(&self, deliver: &Deliver, now_ms: i64) -> Result<Delivered, EffectError> {
        let text = shown(deliver);
        let failed = if text.len() > FILE_BYTES_MAX {
            Some(format!("larger than {FILE_BYTES_MAX} bytes").into())
        } else {
            self.write(deliver, &text, now_ms).map_err(|error| EffectError::Retry {
                why: format!("the outbox can't be written: {}", error.kind()),
                after_ms: None,
            })?;
            None
        };
        let Deliver { id, profile, campaign, channel, .. } = deliver;
        Ok(Delivered { id: *id, profile: *profile, campaign: campaign.clone(), channel: *channel, failed })
    }

    fn write(&self, deliver: &Deliver, text: &str, now_ms: i64) -> io::Result<()> {
        let at = Timestamp::from_millisecond(now_ms).unwrap_or_default().to_zoned(TimeZone::UTC);
        let folder = self.folder.join(at.strftime("%Y-%m-%d").to_string());
        let ending = if deliver.channel == Channel::Email { "html" } else { "txt" };
        let name = format!("{}.{ending}", deliver.id);
        if self.is_there(&name)? {
            return Ok(());
        }
        fs::create_dir_all(&folder)?;
        let unfinished = folder.join(format!(".{name}"));
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, folder.join(&name))
    }

    /// Whether a message was carried before, on whichever day.
    fn is_there(&self, name: &str) -> io::Result<bool> {
        let days = match fs::read_dir(&self.folder) {
            Ok(days) => days,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        for day in days {
            if day?.path().join(name).try_exists()? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What the file says: headers, then the message.
fn shown(deliver: &Deliver) -> String {
    let content = &deliver.content;
    let line = |text: &str| text.replace(|letter: char| letter.is_control(), " ");
    let headers = [
        ("Message", deliver.id.to_string()),
        ("To", line(&deliver.address)),
        ("Subject", line(&content.subject)),
        ("Campaign", line(deliver.campaign.as_deref().unwrap_or(""))),
    ];
    let told = headers.iter().filter(|(_, value)| !value.is_empty());
    if deliver.channel != Channel::Email {
        let told: String = told.map(|(name, value)| format!("{name}: {value}\n")).collect();
        return format!("{told}\n{}\n", content.text);
    }
    let told: String = told.map(|(name, value)| format!("{name}: {}\n", escape(value))).collect();
    let text = format!("<pre>{}</pre>", escape(&content.text));
    let html = if content.html.is_empty() { "" } else { &*content.html };
    format!("<!doctype html>\n<meta charset=\"utf-8\">\n<pre>{told}</pre>\n<hr>\n{html}\n<hr>\n{text}\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
