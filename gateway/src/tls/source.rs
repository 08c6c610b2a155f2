//! Files that are looked at again now and then.
//!
//! By what the system says of them rather than by its notices: a file that is renamed into place, a link that is turned to
//! another directory (as Kubernetes does with secrets) and a network's file system are then all the same.

use std::error::Error;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use common::telemetry::Chain;
use parking_lot::Mutex;

/// Files that are of use together only.
pub(crate) struct Source {
    /// What the configuration calls them: the path of the first.
    name: Box<str>,
    paths: Box<[PathBuf]>,
    /// What was looked at last; nothing before the first time.
    seen: Mutex<Option<Box<[Stamp]>>>,
    usable: AtomicBool,
}

/// What tells a file from the one that was there before; nothing where there is none.
#[derive(PartialEq)]
struct Stamp(Option<[i64; 7]>);

impl Source {
    /// The files at `paths`, which begin in `directory`.
    pub(crate) fn new<'p>(directory: &Path, name: &Path, paths: impl IntoIterator<Item = &'p PathBuf>) -> Self {
        Self {
            name: name.display().to_string().into(),
            paths: paths.into_iter().map(|path| directory.join(path)).collect(),
            seen: Mutex::new(None),
            usable: AtomicBool::new(true),
        }
    }

    /// What the configuration calls them.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether they could be used when they were looked at last.
    pub(crate) fn is_usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    /// What `read` makes of the files, if they are others than the last time, or were of no use then: what is not valid yet may
    /// be now. Nothing when they are as they were, or still of no use; what is wrong is told once.
    pub(crate) fn look<T, E: Error + 'static>(&self, read: impl FnOnce(&[PathBuf]) -> Result<T, E>) -> Option<T> {
        let mut seen = self.seen.lock();
        // Before they are read, so that what changes meanwhile is found the next time.
        let stamps: Box<[Stamp]> = self.paths.iter().map(|path| Stamp::of(path)).collect();
        let is_new = seen.as_ref() != Some(&stamps);
        if !is_new && self.is_usable() {
            return None;
        }
        *seen = Some(stamps);
        let read = read(&self.paths);
        self.usable.store(read.is_ok(), Ordering::Relaxed);
        read.map_err(|error| {
            if is_new {
                tracing::error!(file = self.name(), error = %Chain(&error), "not taken; what was read before goes on");
            }
        })
        .ok()
    }
}

impl Stamp {
    /// That of whatever `path` leads to at last.
    fn of(path: &Path) -> Self {
        let stamp = |of: fs::Metadata| {
            let [device, inode, size] = [of.dev(), of.ino(), of.size()].map(|number| number as i64);
            [device, inode, size, of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()]
        };
        Self(fs::metadata(path).ok().map(stamp))
    }
}
