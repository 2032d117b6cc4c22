//! Destinations of this machine: a file that is replaced at once, Nagios' check-result spool and its command pipe.

use crate::check::Context;
use crate::format::passive::{Passive, nagios_name};
use crate::host::place::{self, Place};
use crate::model::duration::since_1970;
use anyhow::{Context as _, anyhow, bail};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// What the kernel writes into a pipe at once (PIPE_BUF, pipe(7)).
const ATOMIC: usize = 4096;

/// Puts bytes into a file so that nobody ever reads half of them; a file that is there keeps its owner and mode. A
/// device or a pipe is written through.
pub fn file(path: &Path, bytes: &[u8], deadline: Instant) -> anyhow::Result<()> {
    let written = place(path).and_then(|place| match place {
        Some(place) => match place.about()? {
            Some(about) if place::is(&about, FileType::Directory) => Err(anyhow!("it is a folder")),
            Some(about) if !place::is(&about, FileType::RegularFile) => {
                let file = place.open(OFlags::WRONLY | OFlags::NONBLOCK)?;
                if rustix::fs::fstat(&file)?.st_ino != about.st_ino {
                    bail!("it is another one now");
                }
                through(&file, bytes, deadline)
            }
            about => replace(&place, about.as_ref(), bytes),
        },
        None => {
            let flags = OFlags::NONBLOCK.bits().cast_signed();
            let opened = OpenOptions::new()
                .write(true)
                .custom_flags(flags)
                .open(path);
            through(&opened?, bytes, deadline)
        }
    });
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Where a file is. None for what the kernel lends under a name, such as /dev/stdout, which is no place.
fn place(path: &Path) -> anyhow::Result<Option<Place>> {
    let is_lent = fs::read_link(path).is_ok_and(|it| it.starts_with("/proc"));
    if is_lent || path.starts_with("/proc") {
        return Ok(None);
    }
    Place::of(path).map(Some)
}

fn through(mut file: &File, bytes: &[u8], deadline: Instant) -> anyhow::Result<()> {
    for part in bytes.chunks(ATOMIC) {
        write_at_once(&mut file, part, deadline)?;
    }
    Ok(())
}

/// Puts a new file where one may have been, with its owner and mode. Where it cannot be given away to its owner, the
/// old one is written over.
fn replace(place: &Place, old: Option<&Stat>, bytes: &[u8]) -> anyhow::Result<()> {
    // A collector that takes all files of one ending must not take this one.
    let mut beside = OsString::from(".");
    beside.push(place.name());
    beside.push(format!(".{}", word(6)?));
    let made = place.create_beside(&beside, Mode::from_raw_mode(0o644));
    let mut file = match (made, old) {
        (Ok(file), _) => file,
        // A folder that is closed may have a file that is open.
        (Err(Errno::ACCESS | Errno::PERM), Some(_)) => return over(place, bytes),
        (Err(error), _) => return Err(error.into()),
    };
    let kept = old.is_none_or(|old| keep(&file, old).is_ok());
    let done = match (kept, old) {
        (false, _) => over(place, bytes),
        (true, _) => file
            .write_all(bytes)
            .and_then(|()| Ok(place.replace_by(&beside)?))
            .map_err(anyhow::Error::from),
    };
    if !kept || done.is_err() {
        // What is not there need not be removed.
        let _ = place.remove_beside(&beside);
    }
    done
}

/// Gives a new file the owner and the mode of the old one.
fn keep(file: &File, old: &Stat) -> rustix::io::Result<()> {
    let new = rustix::fs::fstat(file)?;
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid) {
        let (owner, group) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
        rustix::fs::fchown(file, Some(owner), Some(group))?;
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(old.st_mode & 0o777))
}

/// Writes over a file, in place.
fn over(place: &Place, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = place.open(OFlags::WRONLY | OFlags::TRUNC)?;
    Ok(file.write_all(bytes)?)
}

/// Hands results to Nagios: as a file in its check-result spool, or as commands in its pipe. What was opened is judged,
/// not what the path named a moment before: the owner of a folder could swap it.
pub fn nagios(path: &Path, host: &str, results: &[Passive], cx: &Context) -> anyhow::Result<()> {
    let host = &nagios_name(host);
    let shown = path.display();
    let place = Place::of(path).with_context(|| format!("cannot look at {shown}"))?;
    let about = place.about().and_then(|it| it.ok_or(Errno::NOENT));
    let about = about.with_context(|| format!("cannot look at {shown}"))?;
    match FileType::from_raw_mode(about.st_mode) {
        FileType::Directory => {
            let folder = place.open(OFlags::PATH | OFlags::DIRECTORY);
            folder
                .map_err(anyhow::Error::from)
                .and_then(|it| spool(&it.into(), host, results, cx.now))
                .with_context(|| format!("cannot write into {shown}"))
        }
        FileType::Fifo => {
            let pipe = place.open(OFlags::WRONLY | OFlags::NONBLOCK);
            let pipe = pipe.map_err(|it| match it {
                Errno::NXIO => anyhow!("nobody reads {shown}: Nagios is not running"),
                it => anyhow!("cannot open {shown}: {it}"),
            })?;
            let about = rustix::fs::fstat(&pipe)?;
            if !place::is(&about, FileType::Fifo) {
                bail!("{shown} is no pipe any more");
            }
            commands(&pipe, host, results, cx)
                .with_context(|| format!("cannot write all to {shown}"))
        }
        _ => Err(anyhow!(
            "{shown} is neither Nagios' check_result_path, a folder, nor its command_file, a pipe"
        )),
    }
}

/// Writes `cXXXXXX`, and then `cXXXXXX.ok`, which says that it is whole (nagios, base/utils.c,
/// `process_check_result_queue`).
fn spool(folder: &OwnedFd, host: &str, results: &[Passive], now: SystemTime) -> anyhow::Result<()> {
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
    let name = format!("c{}", word(6)?);
    let about = rustix::fs::fstat(folder)?;
    create(folder, &name, &about, text.as_bytes())?;
    let done = create(folder, &format!("{name}.ok"), &about, b"");
    if done.is_err() {
        // Without its mark it would lie there for ever.
        let _ = rustix::fs::unlinkat(folder, &name, AtFlags::empty());
    }
    done.map_err(anyhow::Error::from)
}

/// Creates a file that whoever owns the folder can read.
fn create(folder: &OwnedFd, name: &str, about: &Stat, bytes: &[u8]) -> io::Result<()> {
    let mut file = place::create(folder, OsStr::new(name), Mode::from_raw_mode(0o640))?;
    file.write_all(bytes)?;
    let (owner, group) = (Uid::from_raw(about.st_uid), Gid::from_raw(about.st_gid));
    if rustix::fs::fchown(&file, Some(owner), Some(group)).is_err() {
        // Not root: then all may read it, because Nagios must.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
    }
    Ok(())
}

/// Writes one command for each result, each at once, so that those of others do not get between.
fn commands(mut pipe: &File, host: &str, results: &[Passive], cx: &Context) -> anyhow::Result<()> {
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
            .with_context(|| format!("{number} of {} results are in it", results.len()))?;
    }
    Ok(())
}

/// Writes when there is room, at the latest at the deadline.
fn write_at_once(to: &mut &File, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    let full = "the pipe is full, and nobody reads it";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, full));
                }
                let wait = Timespec::try_from(left.min(Duration::from_millis(50))).ok();
                let mut wanted = [PollFd::new(*to, PollFlags::OUT)];
                poll(&mut wanted, wait.as_ref())?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
