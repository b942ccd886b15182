//! Storage in memory that remembers, beside what was written, what was synced: the bytes that a power
//! cut would leave.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use pouw::{StorageBackend, StorageProvider, StoreFile};

/// Called before each read of a file.
pub type ReadHook = Box<dyn Fn(StoreFile) + Send + Sync>;

/// The two files of a store. Clones share them.
#[derive(Clone, Default)]
pub struct Memory {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    files: [Mutex<Bytes>; 2],
    hook: Mutex<Option<Arc<ReadHook>>>,
}

#[derive(Clone, Default)]
struct Bytes {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => to[*at..*at + data.len()].copy_from_slice(data),
            Self::Resize(len) => to.resize(*len, 0),
        }
    }
}

impl Memory {
    /// What a power cut at this moment would leave: everything synced, nothing else.
    pub fn after_power_cut(&self) -> Self {
        let image = Self::default();
        for (from, to) in self.inner.files.iter().zip(&image.inner.files) {
            let durable = locked(from).durable.clone();
            *locked(to) = Bytes { live: durable.clone(), durable, unsynced: Vec::new() };
        }
        image
    }

    /// The same bytes, apart from these.
    pub fn copy(&self) -> Self {
        let image = Self::default();
        for (from, to) in self.inner.files.iter().zip(&image.inner.files) {
            *locked(to) = locked(from).clone();
        }
        image
    }

    /// Calls `hook` before each read from now on, on the reading thread.
    pub fn on_read(&self, hook: Option<ReadHook>) {
        *locked(&self.inner.hook) = hook.map(Arc::new);
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

impl StorageProvider for Memory {
    fn open(&self, file: StoreFile) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(Opened { inner: self.inner.clone(), file }))
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        PathBuf::from("memory").join(file.file_name())
    }
}

struct Opened {
    inner: Arc<Inner>,
    file: StoreFile,
}

impl Opened {
    fn bytes(&self) -> MutexGuard<'_, Bytes> {
        locked(&self.inner.files[usize::from(self.file == StoreFile::Blocks)])
    }

    fn change(&self, change: Change) {
        let mut bytes = self.bytes();
        change.apply(&mut bytes.live);
        bytes.unsynced.push(change);
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({:?})", self.file)
    }
}

impl StorageBackend for Opened {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let hook = locked(&self.inner.hook).clone();
        if let Some(hook) = hook {
            hook(self.file);
        }
        let bytes = self.bytes();
        let from = offset as usize;
        let stored = bytes.live.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(stored);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Resize(len as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut bytes = self.bytes();
        for change in std::mem::take(&mut bytes.unsynced) {
            change.apply(&mut bytes.durable);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset as usize, data.to_vec()));
        Ok(())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
