//! A disk in memory that fails on demand, for tests (feature `testing`).
//!
//! It keeps apart what was written and what was synced. A [`crash`](SimDisk::crash) ends every open
//! handle and decides what becomes of the writes since the last sync of their file: they are lost,
//! kept, or a random part of them is kept, in random order, torn at sectors or single bytes. A
//! failed sync makes nothing durable, and what it should have synced is not made durable by a later
//! one either, as on systems that mark such pages clean.

mod medium;

use std::fmt;
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::store::storage::{StorageBackend, StorageProvider, StoreFile};
use medium::{Change, SimFile, Trace};

pub use medium::{Loss, Recording};

/// A disk with the two files of a store. Clones share it.
#[derive(Clone, Default)]
pub struct SimDisk {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Default)]
struct Disk {
    files: [SimFile; 2],
    locks: Vec<Lock>,
    handles: u64,
    /// Handles below this number died with a crash.
    crashed_below: u64,
    ios: u64,
    syncs: u64,
    faults: Faults,
    recording: Option<Recording>,
}

#[derive(Default, Clone, Copy)]
struct Faults {
    /// First I/O to fail, and whether those after it fail too.
    io: Option<(u64, bool)>,
    /// First sync to fail, and whether those after it fail too.
    sync: Option<(u64, bool)>,
    /// Bytes both files may have together.
    quota: Option<u64>,
    /// Writes find no space, even where the file has its length already.
    full: bool,
    /// Faults that took effect.
    hits: u64,
}

struct Lock {
    file: usize,
    handle: u64,
    first: u64,
    last: u64,
}

impl SimDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk with these bytes in its files, all synced.
    pub fn with_files(state: Vec<u8>, blocks: Vec<u8>) -> Self {
        let file = |bytes: Vec<u8>| SimFile { seen: bytes.clone(), durable: bytes, ..SimFile::default() };
        let disk = Disk { files: [file(state), file(blocks)], ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    /// Reads, writes, changes of length, syncs and openings so far.
    pub fn ios(&self) -> u64 {
        self.disk.lock().ios
    }

    /// Syncs so far.
    pub fn syncs(&self) -> u64 {
        self.disk.lock().syncs
    }

    /// Faults that took effect so far.
    pub fn hits(&self) -> u64 {
        self.disk.lock().faults.hits
    }

    /// Lets the `nth` I/O from now on fail (1 is the next), and with `for_ever` all behind it.
    pub fn fail_io(&self, nth: u64, for_ever: bool) {
        let mut disk = self.disk.lock();
        disk.faults.io = Some((disk.ios + nth, for_ever));
    }

    /// Lets the `nth` sync from now on fail (1 is the next), and with `for_ever` all behind it.
    pub fn fail_sync(&self, nth: u64, for_ever: bool) {
        let mut disk = self.disk.lock();
        disk.faults.sync = Some((disk.syncs + nth, for_ever));
    }

    /// Bounds the length of both files together; `None` for no bound.
    pub fn set_quota(&self, bytes: Option<u64>) {
        self.disk.lock().faults.quota = bytes;
    }

    /// Lets every write find no space, as in a sparse file on a full disk.
    pub fn set_full(&self, full: bool) {
        self.disk.lock().faults.full = full;
    }

    /// Ends all faults. What a failed sync did stays done.
    pub fn heal(&self) {
        let mut disk = self.disk.lock();
        disk.faults = Faults { hits: disk.faults.hits, ..Faults::default() };
    }

    /// Ends every open handle, releases their locks, and loses what `loss` says.
    pub fn crash(&self, loss: Loss) {
        let mut disk = self.disk.lock();
        disk.crashed_below = disk.handles;
        disk.locks.clear();
        medium::crash(&mut disk.files, loss);
    }

    /// Records every change and sync from now on.
    pub fn record(&self) {
        let mut disk = self.disk.lock();
        disk.recording = Some(Recording { before: disk.files.clone(), trace: Vec::new() });
    }

    /// Changes and syncs recorded so far.
    pub fn recorded(&self) -> usize {
        self.disk.lock().recording.as_ref().map_or(0, Recording::len)
    }

    /// What was recorded; recording ends.
    pub fn take_recording(&self) -> Option<Recording> {
        self.disk.lock().recording.take()
    }

    /// The bytes of a file as a reader sees them.
    pub fn bytes(&self, file: StoreFile) -> Vec<u8> {
        self.disk.lock().files[slot(file)].seen.clone()
    }

    /// Bytes of both files as a reader sees them.
    pub fn used(&self) -> u64 {
        self.disk.lock().files.iter().map(|file| file.seen.len() as u64).sum()
    }
}

impl Recording {
    /// The disk after a crash behind the first `count` changes and syncs.
    pub fn crash_at(&self, count: usize, loss: Loss) -> SimDisk {
        let mut files = self.before.clone();
        for (file, event) in self.trace.iter().take(count) {
            match event {
                Trace::Change(change) => files[*file].change(change.clone()),
                Trace::Sync => files[*file].sync(),
            }
        }
        medium::crash(&mut files, loss);
        let [state, blocks] = files;
        SimDisk::with_files(state.durable, blocks.durable)
    }
}

fn slot(file: StoreFile) -> usize {
    match file {
        StoreFile::State => 0,
        StoreFile::Blocks => 1,
    }
}

impl Disk {
    fn change(&mut self, file: usize, change: Change) {
        if let Some(recording) = &mut self.recording {
            recording.trace.push((file, Trace::Change(change.clone())));
        }
        self.files[file].change(change);
    }

    fn sync(&mut self, file: usize) {
        if let Some(recording) = &mut self.recording {
            recording.trace.push((file, Trace::Sync));
        }
        self.files[file].sync();
    }

    /// Counts one I/O and fails it if its time has come.
    fn io(&mut self, handle: u64) -> io::Result<()> {
        if handle < self.crashed_below {
            return Err(io::Error::other("this handle died in a crash"));
        }
        self.ios += 1;
        let ios = self.ios;
        if self.faults.io.is_some_and(|(first, for_ever)| ios == first || (for_ever && ios > first)) {
            self.faults.hits += 1;
            return Err(io::Error::other("simulated fault"));
        }
        Ok(())
    }

    fn room_for(&mut self, file: usize, len: u64) -> io::Result<()> {
        let both: u64 = self.files.iter().map(|file| file.seen.len() as u64).sum();
        let own = self.files[file].seen.len() as u64;
        let beyond = len > own && self.faults.quota.is_some_and(|quota| both - own + len > quota);
        if beyond || self.faults.full {
            self.faults.hits += 1;
            return Err(io::Error::new(ErrorKind::StorageFull, "no space left on device"));
        }
        Ok(())
    }

    fn overlaps(&self, file: usize, handle: u64, first: u64, last: u64) -> bool {
        self.locks
            .iter()
            .any(|lock| lock.file == file && lock.handle != handle && lock.first <= last && first <= lock.last)
    }
}

impl StorageProvider for SimDisk {
    fn open(&self, file: StoreFile) -> io::Result<Box<dyn StorageBackend>> {
        let mut disk = self.disk.lock();
        let handle = disk.handles.max(disk.crashed_below);
        disk.io(handle)?;
        disk.handles = handle + 1;
        Ok(Box::new(SimBackend { disk: self.disk.clone(), file: slot(file), handle }))
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let handle = disk.handles;
        disk.io(handle)
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        PathBuf::from("(simulated)").join(file.file_name())
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDisk({} I/Os)", self.ios())
    }
}

/// One open file of a [`SimDisk`].
pub struct SimBackend {
    disk: Arc<Mutex<Disk>>,
    file: usize,
    handle: u64,
}

impl SimBackend {
    fn io(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let mut disk = self.disk.lock();
        disk.io(self.handle)?;
        Ok(disk)
    }

    fn lock(&self, start: Bound<u64>, end: Bound<u64>) -> bool {
        let (first, last) = ends(start, end);
        let mut disk = self.disk.lock();
        if disk.overlaps(self.file, self.handle, first, last) {
            return false;
        }
        disk.locks.push(Lock { file: self.file, handle: self.handle, first, last });
        true
    }
}

fn ends(start: Bound<u64>, end: Bound<u64>) -> (u64, u64) {
    let first = match start {
        Bound::Included(at) => at,
        Bound::Excluded(at) => at + 1,
        Bound::Unbounded => 0,
    };
    let last = match end {
        Bound::Included(at) => at,
        Bound::Excluded(at) => at.saturating_sub(1),
        Bound::Unbounded => u64::MAX,
    };
    (first, last)
}

impl StorageBackend for SimBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.file].seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.io()?;
        let bytes = &disk.files[self.file].seen;
        let end = (offset as usize).checked_add(out.len()).filter(|end| *end <= bytes.len());
        let end = end.ok_or_else(|| io::Error::from(ErrorKind::UnexpectedEof))?;
        out.copy_from_slice(&bytes[offset as usize..end]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.io()?;
        disk.room_for(self.file, len)?;
        disk.change(self.file, Change::Len(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        if self.handle < disk.crashed_below {
            return disk.io(self.handle);
        }
        let result = disk.io(self.handle);
        disk.syncs += 1;
        let syncs = disk.syncs;
        let fails = disk.faults.sync.is_some_and(|(first, for_ever)| syncs == first || (for_ever && syncs > first));
        disk.faults.hits += u64::from(fails && result.is_ok());
        if fails || result.is_err() {
            let file = &mut disk.files[self.file];
            file.doomed.append(&mut file.waiting);
            return result.and(Err(io::Error::other("simulated fault of a sync")));
        }
        disk.sync(self.file);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let room = disk.room_for(self.file, offset + data.len() as u64);
        if let Err(error) = disk.io(self.handle).and(room) {
            // Half of it went through, unless the process is long dead.
            if self.handle >= disk.crashed_below && error.kind() != ErrorKind::StorageFull {
                let half = data[..data.len() / 2].to_vec();
                disk.change(self.file, Change::Write(offset, half));
            }
            return Err(error);
        }
        disk.change(self.file, Change::Write(offset, data.to_vec()));
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.disk.lock().locks.retain(|lock| lock.handle != self.handle);
        Ok(())
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<bool> {
        Ok(self.lock(start, end))
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<()> {
        let (first, last) = ends(start, end);
        let own = |lock: &Lock| lock.handle == self.handle && lock.first == first && lock.last == last;
        self.disk.lock().locks.retain(|lock| !own(lock));
        Ok(())
    }
}

impl Drop for SimBackend {
    fn drop(&mut self) {
        self.disk.lock().locks.retain(|lock| lock.handle != self.handle);
    }
}

impl fmt::Debug for SimBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimBackend({})", self.file)
    }
}
