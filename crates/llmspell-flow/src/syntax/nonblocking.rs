//! Opening named pipes without waiting for a process at the other end.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a file that may be a named pipe. A wait in `open` cannot be interrupted, not even by Ctrl-C. So opening for
/// writing fails without a reader, and opening for reading without a writer gives an empty pipe. Once open, reads and
/// writes block as usual.
#[cfg(unix)]
pub fn open_nonblocking(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    let file = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

#[cfg(not(unix))]
pub fn open_nonblocking(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path)
}

/// Returns whether it is a named pipe.
#[cfg(unix)]
pub fn is_pipe(about: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&about.file_type())
}

#[cfg(not(unix))]
pub fn is_pipe(_: &Metadata) -> bool {
    false
}
