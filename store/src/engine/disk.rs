use std::{fmt, fs::File, io, path::Path};

/// What the engine asks of the disk beyond writing: a seam, so that a test can cut the power or
/// fill the disk.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Makes what was written to `file` survive a power cut.
    ///
    /// # Errors
    /// The system's; the engine stops then.
    fn sync_data(&self, file: &File) -> io::Result<()>;

    /// Free bytes and all bytes of the disk that holds `path`.
    ///
    /// # Errors
    /// The system's.
    fn space(&self, path: &Path) -> io::Result<(u64, u64)>;
}

/// The real disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn space(&self, path: &Path) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::statvfs(path)?;
        Ok((stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize))
    }
}
