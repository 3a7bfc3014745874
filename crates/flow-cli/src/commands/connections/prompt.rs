//! Asks for a password on a terminal, which shows nothing of it.

use crate::signals::{self, Wish};
use ematix_flow_core::secret::Secret;
use ematix_flow_run::execute::Stop;
use std::io::{self, BufRead, ErrorKind};

/// What somebody typed, or how the process was asked to end meanwhile.
///
/// # Errors
/// What the system says of the terminal.
#[cfg(unix)]
pub fn hidden_line() -> io::Result<Result<Secret, Stop>> {
    let line = signals::block_on_wishes(async |mut wishes| {
        // Signals are heard before the terminal falls silent, so that none leaves it so.
        let _silent = Silent::new()?;
        tokio::select! {
            line = tokio::task::spawn_blocking(|| typed(io::stdin().lock())) => line.map_err(io::Error::other)?,
            wish = wishes.next() => Ok(Err(match wish {
                Wish::Stop(stop) => stop,
                // The terminal is gone.
                Wish::Reload => Stop::Terminate,
            })),
        }
    });
    line.map_err(|error| io::Error::other(error.message))?
}

/// What somebody typed.
///
/// # Errors
/// That this system has no such terminal.
#[cfg(not(unix))]
pub fn hidden_line() -> io::Result<Result<Secret, Stop>> {
    Err(io::Error::new(ErrorKind::Unsupported, "no password can be asked for here: use --password-stdin"))
}

/// The first line of the input.
///
/// # Errors
/// What the system says; `InvalidData` where it is not UTF-8.
pub fn first_line() -> io::Result<Secret> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let end = line.trim_end_matches('\n').trim_end_matches('\r').len();
    line.truncate(end);
    Ok(Secret::from(line))
}

/// A terminal that shows nothing and hands over each key: so that Ctrl-C cannot leave it as it is now.
#[cfg(unix)]
struct Silent(rustix::termios::Termios);

#[cfg(unix)]
impl Silent {
    fn new() -> io::Result<Silent> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Silent(before))
    }
}

#[cfg(unix)]
impl Drop for Silent {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        eprintln!();
    }
}

/// A line as the terminal would have it: erased letter by letter, or whole by Ctrl-U.
#[cfg_attr(not(unix), allow(dead_code))]
fn typed(keys: impl BufRead) -> io::Result<Result<Secret, Stop>> {
    const CTRL_C: u8 = 3;
    const CTRL_D: u8 = 4;
    const BACKSPACE: u8 = 8;
    const CTRL_U: u8 = 21;
    const DELETE: u8 = 127;
    let mut line = Vec::new();
    for key in keys.bytes() {
        match key? {
            b'\r' | b'\n' | CTRL_D => break,
            CTRL_C => return Ok(Err(Stop::Interrupt)),
            CTRL_U => line.clear(),
            BACKSPACE | DELETE => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            byte => line.push(byte),
        }
    }
    String::from_utf8(line)
        .map(|line| Ok(Secret::from(line)))
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "the password is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_a_line() {
        let typed = |keys: &str| typed(keys.as_bytes()).unwrap();
        let line = |keys: &str| typed(keys).unwrap().reveal().to_owned();
        assert_eq!(line("s3cret\rrest"), "s3cret");
        assert_eq!(line("wrong\u{15}ab\u{7f}é\u{7f}c"), "ac");
        assert_eq!(line("\u{7f}\n"), "");
        assert_eq!(typed("s3\u{3}").unwrap_err(), Stop::Interrupt);
    }
}
