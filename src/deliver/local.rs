//! Destinations of this machine: a file that is replaced at once, Nagios' check-result spool and its command pipe.

use crate::check::Context;
use crate::format::passive::{Passive, nagios_name};
use crate::model::duration::since_1970;
use anyhow::{Context as _, anyhow};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Gid, Uid};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

/// Puts bytes into a file so that nobody ever reads half of them.
pub fn file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let shown = path.display();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A collector that takes all files of one ending must not take this one.
    let beside = path.with_file_name(format!(".{name}.{}", word(6)?));
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // What is not there need not be removed.
        let _ = fs::remove_file(&beside);
    }
    written.with_context(|| format!("cannot write {shown}"))
}

/// Hands results to Nagios: as a file in its check-result spool, or as commands in its pipe.
pub fn nagios(path: &Path, host: &str, results: &[Passive], cx: &Context) -> anyhow::Result<()> {
    let shown = path.display();
    let about = fs::metadata(path).with_context(|| format!("cannot look at {shown}"))?;
    match about.file_type() {
        kind if kind.is_dir() => spool(path, &about, host, results, cx.now)
            .with_context(|| format!("cannot write into {shown}")),
        kind if kind.is_fifo() => pipe(path, host, results, cx),
        _ => Err(anyhow!(
            "{shown} is neither Nagios' check_result_path, a folder, nor its command_file, a pipe"
        )),
    }
}

/// Writes `cXXXXXX`, and then `cXXXXXX.ok`, which says that it is whole (nagios, base/utils.c,
/// `process_check_result_queue`).
fn spool(
    folder: &Path,
    about: &fs::Metadata,
    host: &str,
    results: &[Passive],
    now: SystemTime,
) -> anyhow::Result<()> {
    let unix = |at: SystemTime| {
        let at = since_1970(at);
        format!("{}.{:06}", at.as_secs(), at.subsec_micros())
    };
    let mut text = format!("### koshu\nfile_time={}\n", since_1970(now).as_secs());
    for it in results {
        text.push_str(&format!(
            "\nhost_name={host}\nservice_description={}\ncheck_type=1\ncheck_options=0\nscheduled_check=0\nreschedule_check=0\nlatency=0.0\nstart_time={}\nfinish_time={}\nearly_timeout=0\nexited_ok=1\nreturn_code={}\noutput={}\n",
            nagios_name(it.name),
            unix(now),
            unix(now + it.took),
            it.state.code(),
            one_line(&it.output(usize::MAX)),
        ));
    }
    let name = folder.join(format!("c{}", word(6)?));
    create(&name, about, text.as_bytes())?;
    let done = create(&with_ok(&name), about, b"");
    if done.is_err() {
        // Without its mark it would lie there for ever.
        let _ = fs::remove_file(&name);
    }
    done.map_err(anyhow::Error::from)
}

fn with_ok(name: &Path) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(".ok");
    name.into()
}

/// Creates a file that whoever owns the folder can read.
fn create(path: &Path, folder: &fs::Metadata, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(path)?;
    file.write_all(bytes)?;
    let owner = (Uid::from_raw(folder.uid()), Gid::from_raw(folder.gid()));
    if rustix::fs::fchown(&file, Some(owner.0), Some(owner.1)).is_err() {
        // Not root: then all may read it, because Nagios must.
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// Writes one command for each result, each at once, so that those of others do not get between.
fn pipe(path: &Path, host: &str, results: &[Passive], cx: &Context) -> anyhow::Result<()> {
    /// What the kernel writes at once (PIPE_BUF, pipe(7)).
    const ATOMIC: usize = 4096;
    let shown = path.display();
    let mut pipe = OpenOptions::new()
        .write(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|it| match it.raw_os_error() {
            Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => {
                anyhow!("nobody reads {shown}: Nagios is not running")
            }
            _ => anyhow!("cannot open {shown}: {it}"),
        })?;
    let at = since_1970(cx.now);
    for (number, it) in results.iter().enumerate() {
        let head = format!(
            "[{}] PROCESS_SERVICE_CHECK_RESULT;{host};{};{};",
            at.as_secs(),
            nagios_name(it.name),
            it.state.code()
        );
        // Every line end and backslash becomes two characters.
        let mut room = ATOMIC - 1 - head.len().min(ATOMIC / 2);
        let line = loop {
            let text = one_line(&it.output(room));
            match head.len() + text.len() < ATOMIC {
                true => break format!("{head}{text}\n"),
                false => room -= room / 8,
            }
        };
        write_at_once(&mut pipe, line.as_bytes(), cx.deadline)
            .with_context(|| format!("{number} of {} results are in {shown}", results.len()))?;
    }
    Ok(())
}

/// Writes when there is room, at the latest at the deadline.
fn write_at_once(pipe: &mut File, bytes: &[u8], deadline: Instant) -> io::Result<()> {
    loop {
        match pipe.write_all(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    let full = "the pipe is full, and Nagios reads nothing";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, full));
                }
                let wait = Timespec::try_from(left.min(std::time::Duration::from_millis(50))).ok();
                let mut wanted = [PollFd::new(pipe, PollFlags::OUT)];
                poll(&mut wanted, wait.as_ref())?;
            }
            result => return result,
        }
    }
}

/// Line ends as Nagios wants them, so that nothing in a text begins a line; it takes a backslash before
/// an `n` or another backslash away again.
fn one_line(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

/// Random letters and digits.
fn word(length: usize) -> anyhow::Result<String> {
    const OF: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = vec![0; length];
    random(&mut bytes)?;
    let letter = |it: &u8| char::from(OF[usize::from(*it) % OF.len()]);
    Ok(bytes.iter().map(letter).collect())
}

/// Fills a buffer with random bytes.
pub fn random(bytes: &mut [u8]) -> anyhow::Result<()> {
    let filled = SystemRandom::new().fill(bytes);
    filled.map_err(|_| anyhow!("this machine has no random numbers"))
}
