//! A file to be imported: plain or gzipped, read from its beginning or at a place.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::read::MultiGzDecoder;

/// A file to be imported.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    gzipped: bool,
    bytes: u64,
}

impl Source {
    /// Looks at a file: whether it is gzipped is told by its first bytes, not by its name.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut magic = [0_u8; 2];
        let mut read = 0;
        while let Some(rest) = magic.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match file.read(rest)? {
                0 => break,
                count => read += count,
            }
        }
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), gzipped: read == 2 && magic == [0x1f, 0x8b], bytes })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size as it lies there.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads it, unzipped; the bytes read of the file itself are added to `read`.
    ///
    /// # Errors
    /// The system's.
    pub fn reader(&self, read: &Arc<AtomicU64>) -> io::Result<Box<dyn Read + Send>> {
        let counted = Counted { file: File::open(&self.path)?, read: Arc::clone(read) };
        Ok(if self.gzipped { Box::new(MultiGzDecoder::new(io::BufReader::new(counted))) } else { Box::new(counted) })
    }

    /// A hash of how its unzipped text begins: the same for a file that has grown since.
    ///
    /// # Errors
    /// The system's.
    pub fn head(&self) -> io::Result<[u8; 16]> {
        const HEAD_BYTES: u64 = 1_024;
        let mut head = Vec::new();
        self.reader(&Arc::default())?.take(HEAD_BYTES).read_to_end(&mut head)?;
        let hash = *blake3::hash(&head).as_bytes();
        Ok(hash.first_chunk().copied().unwrap_or_default())
    }

    /// A file with the unzipped text, to be read at a place: the file itself, or a nameless one in
    /// `directory` that is gone with this process.
    ///
    /// # Errors
    /// The system's.
    pub fn place(&self, directory: &Path) -> io::Result<Place> {
        if !self.gzipped {
            return Ok(Place { file: File::open(&self.path)?, spool: None });
        }
        let path = directory.join(format!("import-{}.spool", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Place { spool: Some(file.try_clone()?), file })
    }
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// A text that can be read at any place.
pub struct Place {
    file: File,
    spool: Option<File>,
}

impl Place {
    /// A reader that also keeps what it reads, where the file itself can't be read at a place.
    pub fn keep(&self, reader: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
        match &self.spool {
            None => Ok(reader),
            Some(spool) => Ok(Box::new(Kept { reader, spool: spool.try_clone()? })),
        }
    }

    /// Reads `length` bytes at `offset`.
    ///
    /// # Errors
    /// The system's; the file has become shorter.
    pub fn read(&self, offset: u64, length: u32, into: &mut Vec<u8>) -> io::Result<()> {
        into.resize(length as usize, 0);
        self.file.read_exact_at(into, offset)
    }
}

struct Kept {
    reader: Box<dyn Read + Send>,
    spool: File,
}

impl Read for Kept {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(into)?;
        self.spool.write_all(into.get(..count).unwrap_or_default())?;
        Ok(count)
    }
}
