//! Opening pipes without waiting for somebody at their other end.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Opens what may be a pipe with a name. A wait in `open` cannot be ended, not even by Ctrl-C: without a reader, this
/// fails; without a writer, the pipe is empty. Once open, reading and writing wait as ever.
#[cfg(unix)]
pub fn open_at_once(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    let file = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

#[cfg(not(unix))]
pub fn open_at_once(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path)
}

/// Whether it is a pipe with a name.
#[cfg(unix)]
pub fn is_pipe(about: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&about.file_type())
}

#[cfg(not(unix))]
pub fn is_pipe(_: &Metadata) -> bool {
    false
}
